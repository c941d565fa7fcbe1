// SPDX-License-Identifier: Apache-2.0
// Owns the table of formats that can be written: one row each. Does not recognise them (image-format.ts).
import type { CreateLayout } from './layout.ts'
import { createRawLayout } from './raw.ts'

/** What lies on the disk is what the file says, in each of these. */
export const ENCODINGS = {
  raw: createRawLayout,
  gpt: createRawLayout,
  iso: createRawLayout,
} as const satisfies Record<string, CreateLayout>

/** A format that can be written. */
export type WritableFormat = keyof typeof ENCODINGS
