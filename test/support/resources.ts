// SPDX-License-Identifier: Apache-2.0
// Owns the end of what a test has started. Does not start anything.
import { afterEach } from 'vitest'

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
