// SPDX-License-Identifier: Apache-2.0
// Owns gzip (RFC 1952): one member or several, as bgzip and pigz write them, and zeros behind the last. Does not
// inflate.
import { createGunzip } from 'node:zlib'
import { AgentError } from '../../../core/errors.ts'
import { MiB } from '../../../core/units.ts'
import type { UnpackInOrder } from '../unpacker.ts'
import { createImageOutput } from './image-output.ts'
import { runDecoder } from './stream-decoder.ts'

/** Unpacks what gzip has packed. Takes about 10 MiB of memory. */
export const unpackGzip: UnpackInOrder = async (request) => {
  const output = createImageOutput({ ...request, format: 'gzip' })
  let givenBytes = 0
  const faultOf = (reason: string) => broken(decoder.consumedBytes, reason)
  using decoder = runDecoder(createGunzip({ chunkSize: MiB }), output.push, faultOf)
  let isOver = false
  for await (const { offset, bytes } of request.chunks) {
    if (!isOver) {
      await decoder.write(bytes)
      givenBytes += bytes.length
      isOver = decoder.consumedBytes < givenBytes
    }
    if (isOver) assertZeros(bytes, offset, decoder.consumedBytes)
  }
  await decoder.end()
  return await output.finish()
}

/** The format allows padding by zeros (GNU gzip manual, "Tape Usage"); what is not zero was meant to be read. */
function assertZeros(bytes: Uint8Array, offset: number, endOfMembers: number): void {
  const from = Math.max(0, endOfMembers - offset)
  const at = bytes.subarray(from).findIndex((byte) => byte !== 0)
  if (at < 0) return
  throw broken(
    offset + from + at,
    `its last member ends at byte ${endOfMembers}, and neither another member nor zeros follow`,
  )
}

function broken(at: number, reason: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the gzip file is broken near byte ${at}: ${reason}. Its hash is the expected one, so it was made like this: ` +
      'gzip --test tells the same; make it anew',
  )
}
