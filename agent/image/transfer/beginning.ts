// SPDX-License-Identifier: Apache-2.0
// Owns the first bytes of an image on their way to the disk: put together in whatever order they come, and judged once
// (contract 5.3.6). Does not judge them, nor pass them on.
import { SNIFFED_BYTES } from '../formats/image-format.ts'

export interface Beginning {
  /**
   * These bytes of the image are there. Throws what `judge` throws.
   * @param at of the first of them, counted from the image's first byte
   * @param data left out: they are zero
   */
  see(at: number, length: number, data?: Uint8Array): void
  /** No more come: what is missing is zero. Throws what `judge` throws, where it was not asked before. */
  end(): void
}

/** @param judge is called once, with as many of the first bytes as are looked at; all of a smaller image */
export function watchBeginning(
  imageBytes: number,
  judge: (firstBytes: Uint8Array) => void,
): Beginning {
  const bytes = new Uint8Array(Math.min(SNIFFED_BYTES, imageBytes))
  const isThere = new Uint8Array(bytes.length)
  let isOpen = true
  const close = () => {
    isOpen = false
    judge(bytes)
  }
  return {
    see: (at, length, data) => {
      const from = Math.max(0, at)
      const to = Math.min(bytes.length, at + length)
      if (!isOpen || from >= to) return
      if (data) bytes.set(data.subarray(from - at, to - at), from)
      isThere.fill(1, from, to)
      if (!isThere.includes(0)) close()
    },
    end: () => {
      if (isOpen) close()
    },
  }
}
