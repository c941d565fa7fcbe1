// SPDX-License-Identifier: Apache-2.0
// Owns the bundle of a test run: made once, before the first test of the project `bundle`.
import type { TestProject } from 'vitest/node'
import { makeBundle } from './bundle.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly bundle: string
  }
}

/** Called by vitest (globalSetup). */
export async function setup(project: TestProject): Promise<void> {
  project.provide('bundle', await makeBundle())
}
