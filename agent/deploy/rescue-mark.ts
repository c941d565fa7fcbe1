// SPDX-License-Identifier: Apache-2.0
// Owns the mark that the machine belongs to its rescue user (contract 1.5 step 9, 5.7): it keeps this
// agent and any later start of it from touching the machine. Does not rescue; extensions/rescue.ts does.
import { open } from 'node:fs/promises'
import type { Root } from '../system/root.ts'

export const RESCUED_FILE = '/etc/.rescued'

export async function isRescued(root: Root): Promise<boolean> {
  return (await root.readText(RESCUED_FILE)) !== undefined
}

/** Throws the system's error, where the file system takes no file. */
export async function markRescued(root: Root): Promise<void> {
  await using _file = await open(root.path(RESCUED_FILE), 'a', 0o644)
}
