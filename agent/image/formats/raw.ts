// SPDX-License-Identifier: Apache-2.0
// Owns the encoding in which the two address spaces agree: a byte of the file is a byte of the window.
import type { CreateLayout } from './layout.ts'

/** Raw bytes, whatever they are: a disk with a GPT or an MBR, an ISO image. Throws RangeError without room. */
export const createRawLayout: CreateLayout = (fileBytes, window) => {
  if (fileBytes > window.length) {
    throw new RangeError(`${fileBytes} bytes do not fit into a window of ${window.length} bytes`)
  }
  return {
    area: { offset: window.offset, length: fileBytes },
    place: ({ offset, data, from, sha1 }) => [
      { offset: window.offset + offset, data, from, ...(sha1 ? { sha1 } : {}) },
    ],
    locate: ({ offset, length }) => [{ offset: window.offset + offset, length }],
  }
}
