// SPDX-License-Identifier: Apache-2.0
// Owns the end of what a test has started, and the folder in which a file's tests leave things. Does not start anything.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach } from 'vitest'

/** Keeps a resource until the end of the test that is running. */
export type Keep = <T extends AsyncDisposable>(resource: T) => T

/** For the head of a test file: after each test what it kept is disposed of, the last first. */
export function keepUntilEnd(): Keep {
  const resources: AsyncDisposable[] = []
  afterEach(async () => {
    for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]()
  })
  return (resource) => {
    resources.push(resource)
    return resource
  }
}

/**
 * For the head of a test file that looks at what is left in the temporary directory: it is one of its own from now on,
 * for this process and what it starts. Others work in the machine's meanwhile.
 */
export async function useOwnTemporaryFolder(): Promise<string> {
  const before = process.env['TMPDIR']
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-test-'))
  process.env['TMPDIR'] = folder
  afterAll(async () => {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
    await rm(folder, { recursive: true, force: true })
  })
  return folder
}
