// SPDX-License-Identifier: Apache-2.0
// Owns small damage to files, the same for the same random numbers. Does not know formats: they say where it hurts.

/** Bytes that a reader follows: most edits go there. */
export interface Field {
  readonly offset: number
  readonly bytes: 1 | 2 | 4 | 8
  readonly order: 'big' | 'little'
}

type Random = () => number

/** One to four edits of a copy. */
export function mutate(file: Uint8Array, fields: readonly Field[], random: Random): Uint8Array {
  // a Buffer's slice would be the file itself
  let mutated: Uint8Array = new Uint8Array(file)
  for (let edits = 1 + below(4, random); edits > 0; edits--) {
    const kind = below(20, random)
    if (kind === 0) mutated = resize(mutated, random)
    else if (kind === 1) setByte(mutated, below(mutated.length, random), below(256, random))
    else setField(mutated, pick(fields, random), fields, random)
  }
  return mutated
}

function setField(file: Uint8Array, field: Field, fields: readonly Field[], random: Random): void {
  const other = pick(fields, random)
  if (Math.max(field.offset + field.bytes, other.offset + other.bytes) > file.length) return
  write(file, field, pick(VALUES, random)({ file, field, other, random }))
}

interface Edit {
  readonly file: Uint8Array
  readonly field: Field
  readonly other: Field
  readonly random: Random
}

const VALUES: readonly ((edit: Edit) => bigint)[] = [
  ({ file, field, random }) => read(file, field) ^ (1n << BigInt(below(field.bytes * 8, random))),
  ({ file, field, random }) => read(file, field) + BigInt(below(33, random) - 16),
  // powers of two and their neighbours
  ({ field, random }) => (1n << BigInt(below(field.bytes * 8 + 1, random))) + nearby(random),
  // what another field says, and a little more or less: tables that overlap, or lie in themselves
  ({ file, other, random }) => read(file, other) + nearby(random) * 512n,
  ({ file, random }) => BigInt(file.length) + nearby(random) * 512n,
  ({ field, random }) => BigInt(below(2 ** 32, random)) << BigInt(below(field.bytes * 8, random)),
]

function nearby(random: Random): bigint {
  return BigInt(below(3, random) - 1)
}

/** Cut off anywhere, or a little longer. */
function resize(file: Uint8Array, random: Random): Uint8Array {
  const length =
    below(2, random) === 0 ? below(file.length, random) : file.length + below(4096, random)
  const resized = new Uint8Array(length)
  resized.set(file.subarray(0, length))
  return resized
}

function read(file: Uint8Array, { offset, bytes, order }: Field): bigint {
  const text = Buffer.from(file.subarray(offset, offset + bytes))
  return BigInt(`0x${(order === 'big' ? text : text.reverse()).toString('hex')}`)
}

function write(file: Uint8Array, { offset, bytes, order }: Field, value: bigint): void {
  const digits = BigInt.asUintN(bytes * 8, value)
    .toString(16)
    .padStart(bytes * 2, '0')
  const text = Buffer.from(digits, 'hex')
  file.set(order === 'big' ? text : text.reverse(), offset)
}

function setByte(file: Uint8Array, offset: number, value: number): void {
  if (offset < file.length) file[offset] = value
}

function pick<T>(items: readonly T[], random: Random): T {
  return items[below(items.length, random)] as T
}

function below(limit: number, random: Random): number {
  return Math.floor(random() * limit)
}
