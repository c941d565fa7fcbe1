// SPDX-License-Identifier: Apache-2.0
// Owns the hash of a login password as /etc/shadow has it: SHA-512 crypt (crypt(5) `$6$`; Drepper, "Unix
// crypt using SHA-256 and SHA-512", 2008). Node has no crypt(3), and the ramdisk need not have openssl.
import { createHash } from 'node:crypto'

const ROUNDS = 5000
const HASH_BYTES = 64
const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** The longest the format takes. */
export const SALT_CHARACTERS = 16

/**
 * `$6$<salt>$<hash>` of the password's UTF-8 bytes, with the format's 5000 rounds.
 * @param salt 1 to 16 characters of `./0-9A-Za-z`; throws RangeError for any other
 */
export function sha512Crypt(password: string, salt: string): string {
  if (!/^[./0-9A-Za-z]{1,16}$/.test(salt)) throw new RangeError('not a salt of crypt(5)')
  const [key, seed] = [Buffer.from(password, 'utf8'), Buffer.from(salt, 'latin1')]
  const keyBytes = repeat(hash(...Array<Buffer>(key.length).fill(key)), key.length)
  let sum = firstSum(key, seed)
  const seedBytes = repeat(hash(...Array<Buffer>(16 + (sum[0] ?? 0)).fill(seed)), seed.length)
  for (let round = 0; round < ROUNDS; round++) {
    const isOdd = round % 2 === 1
    sum = hash(
      isOdd ? keyBytes : sum,
      ...(round % 3 === 0 ? [] : [seedBytes]),
      ...(round % 7 === 0 ? [] : [keyBytes]),
      isOdd ? sum : keyBytes,
    )
  }
  return `$6$${salt}$${encode(sum)}`
}

/** A salt of random bytes; 6 bits of each make one character. */
export function saltOf(random: Uint8Array): string {
  return [...random.subarray(0, SALT_CHARACTERS)].map((byte) => ALPHABET[byte & 63]).join('')
}

/** Steps 1 to 12 of the description. */
function firstSum(key: Buffer, seed: Buffer): Buffer {
  const alternate = hash(key, seed, key)
  const bits: Buffer[] = []
  for (let count = key.length; count > 0; count >>= 1) bits.push(count & 1 ? alternate : key)
  return hash(key, seed, repeat(alternate, key.length), ...bits)
}

function hash(...parts: readonly Buffer[]): Buffer {
  const sum = createHash('sha512')
  for (const part of parts) sum.update(part)
  return sum.digest()
}

/** `bytes` over and over until there are `length`. */
function repeat(bytes: Buffer, length: number): Buffer {
  const count = Math.ceil(length / HASH_BYTES)
  return Buffer.concat(Array<Buffer>(count).fill(bytes)).subarray(0, length)
}

/** Groups of three bytes in the format's own order, 6 bits a character, the lowest first. */
function encode(sum: Buffer): string {
  const at = (index: number) => sum[index] ?? 0
  let text = ''
  for (let i = 0, [a, b, c] = [0, 21, 42]; i < 21; i++, [a, b, c] = [b + 1, c + 1, a + 1]) {
    text += digits((at(a) << 16) | (at(b) << 8) | at(c), 4)
  }
  return text + digits(at(63), 2)
}

function digits(value: number, count: number): string {
  return Array.from({ length: count }, (_, i) => ALPHABET[(value >> (6 * i)) & 63]).join('')
}
