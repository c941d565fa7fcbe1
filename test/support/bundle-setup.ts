// SPDX-License-Identifier: Apache-2.0
// Owns the bundle of a test run: made before the first test of the project `bundle`, removed after the last.
import type { TestProject } from 'vitest/node'
import { createBundle } from './bundle.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly bundle: string
  }
}

/** Called by vitest (globalSetup). @returns what vitest calls at the end */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const bundle = await createBundle()
  project.provide('bundle', bundle.folder)
  return async () => await bundle[Symbol.asyncDispose]()
}
