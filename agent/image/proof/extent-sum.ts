// SPDX-License-Identifier: Apache-2.0
// Owns the 32 bits by which an extent that reads back otherwise than it was written is known. Long ones take the
// beginning of a GMAC, which processors compute at 7 GB/s and more, short ones a CRC-32 (2 to 4 GB/s), which is sooner
// begun. Guards against disks that lose bytes, not against people: the key is no secret.
import { createCipheriv, getCiphers } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** Takes the bytes of an extent in their order, in parts of any length. */
export interface ExtentSum {
  update(part: Uint8Array): void
  /** To be asked for once. */
  value(): number
}

/** Shorter ones have a CRC-32: what a cipher costs to begin takes as long as 64 KiB. */
const LEAST_GMAC_BYTES = 128 * 1024
const CIPHER = 'aes-128-gcm'
/** 16 and 12 bytes; any would do. */
const KEY = 'ironswarm extent'
const NONCE = 'of 12 bytes.'
/** Some builds of OpenSSL leave ciphers out. */
const hasGmac = getCiphers().includes(CIPHER)

/** @param length of the whole extent, bytes: who compares two sums made both for the same length */
export function createExtentSum(length: number): ExtentSum {
  return hasGmac && length >= LEAST_GMAC_BYTES ? createGmac() : createCrc()
}

/** The sum of an extent that is there as a whole. */
export function sumOf(data: Uint8Array): number {
  const sum = createExtentSum(data.length)
  sum.update(data)
  return sum.value()
}

/** Galois message authentication code: GCM without a text (NIST SP 800-38D, section 3). */
function createGmac(): ExtentSum {
  const cipher = createCipheriv(CIPHER, KEY, NONCE)
  return {
    update: (part) => {
      cipher.setAAD(part)
    },
    value: () => {
      cipher.final()
      return cipher.getAuthTag().readUInt32LE(0)
    },
  }
}

function createCrc(): ExtentSum {
  let crc = 0
  return {
    update: (part) => {
      crc = crc32(part, crc)
    },
    value: () => crc,
  }
}
