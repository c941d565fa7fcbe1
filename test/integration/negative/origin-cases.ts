// SPDX-License-Identifier: Apache-2.0
// Owns the failures of the image server.
import { type DeployTestOptions, MiB } from '../image/deploy-lab.ts'
import type { FailureCase } from './failure-case.ts'

export const ORIGIN_CASES: readonly FailureCase[] = [
  {
    name: 'an origin that ends early, and says so',
    arrange: ({ origin }) => {
      origin.faults = { objectBytes: 9 * MiB }
      return {}
    },
    error: 'ImageChecksumError',
    details: /bytes 0–9437183 is/,
  },
  {
    name: 'an origin that closes the connection again and again',
    arrange: ({ origin }) => {
      origin.faults = { truncateAfterBytes: forever(1000) }
      return {}
    },
    error: 'ImageDownloadError',
    details: /no url of the image is left to ask/,
  },
  {
    name: 'an origin that goes away for good',
    arrange: ({ origin }) => {
      origin.faults = { rateBytesPerSecond: 8 * MiB }
      return { onProgress: atFirstBytes(() => void origin.goDown()) }
    },
    error: 'ImageDownloadError',
    details: /no connection/,
  },
  {
    name: 'an origin that is not there at all',
    arrange: async ({ origin }) => {
      await origin.goDown()
      return {}
    },
    error: 'ImageDownloadError',
    details: /no connection/,
    isUntouched: true,
  },
  {
    name: 'an origin that claims more than it has',
    arrange: ({ origin }) => {
      origin.faults = { claimTotalBytes: 17 * MiB }
      return {}
    },
    error: 'ImageDownloadError',
    details: /no url of the image is left/,
  },
  {
    name: 'an origin that claims less than it has',
    arrange: ({ origin }) => {
      origin.faults = { claimTotalBytes: 9 * MiB }
      return {}
    },
    error: 'ImageChecksumError',
    details: /bytes 0–9437183/,
  },
  {
    name: 'an origin that inverts a byte',
    arrange: ({ origin }) => {
      origin.faults = { corruptAt: 5 * MiB }
      return {}
    },
    error: 'ImageChecksumError',
    details: /holds what the source sent/,
  },
  {
    name: 'an origin that wants credentials',
    lab: { origin: { auth: { user: 'u', password: 'p' } } },
    arrange: () => ({}),
    error: 'ImageDownloadFatalError',
    details: /401.*image_server_auth_strategy/,
    isUntouched: true,
  },
]

/** A fault that stays until the end of the case. */
function forever<T>(value: T): T[] {
  return Array.from({ length: 200 }, () => value)
}

/** Once the first image bytes are on the disk. */
function atFirstBytes(act: () => void): DeployTestOptions['onProgress'] {
  let isDone = false
  return ({ step, done }) => {
    if (isDone || step !== 'fetch' || done === 0) return
    isDone = true
    act()
  }
}
