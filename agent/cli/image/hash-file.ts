// SPDX-License-Identifier: Apache-2.0
// Owns the digest of an image file that somebody gave without one. Does not compare.
import { createReadStream } from 'node:fs'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import { MiB } from '../../core/units.ts'
import { readGeometry } from '../../disk/geometry.ts'
import { createHasher } from '../../image/request/hash-algorithm.ts'
import { createRoot } from '../../system/root.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'
import type { CommandLine } from '../command-line.ts'

/** Lower-case hex SHA-256 of all of it. Throws DeviceNotFound, ImageDownloadError, CancelledError. */
export async function hashFile(path: string, { events, signal }: CommandLine): Promise<string> {
  using meter = createProgressMeter({ now: () => performance.now(), events })
  const { sizeBytes } = await readGeometry(createRoot('/'), path)
  meter.begin('hash', sizeBytes)
  const hasher = createHasher('sha256')
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: MiB, signal })) {
      hasher.update(bytes)
      meter.add(bytes.length)
    }
  } catch (error) {
    throwIfAborted(signal)
    throw new AgentError('ImageDownloadError', `${path}: ${messageOf(error)}`, { cause: error })
  }
  return hasher.digest('hex')
}
