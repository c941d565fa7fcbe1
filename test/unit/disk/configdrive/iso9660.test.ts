import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import { isIso9660, readIsoTree } from '../../../../agent/disk/configdrive/iso9660.ts'

const SECTOR = 2048

/** A directory record (ECMA-119 9.1) with a plain name. */
function record(name: Buffer, sector: number, length: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(33 + name.length + ((name.length + 1) % 2))
  bytes[0] = bytes.length
  bytes.writeUInt32LE(sector, 2)
  bytes.writeUInt32LE(length, 10)
  bytes[25] = flags
  bytes[32] = name.length
  name.copy(bytes, 33)
  return bytes
}

/** An image with one directory at sector 18 that holds these records. */
function imageWith(records: readonly Buffer[]): Buffer {
  const image = Buffer.alloc(24 * SECTOR)
  image.write('\x01CD001\x01', 16 * SECTOR, 'latin1')
  record(Buffer.from([0]), 18, SECTOR, 2).copy(image, 16 * SECTOR + 156)
  image.write('\xffCD001\x01', 17 * SECTOR, 'latin1')
  const self = [record(Buffer.from([0]), 18, SECTOR, 2), record(Buffer.from([1]), 18, SECTOR, 2)]
  Buffer.concat([...self, ...records]).copy(image, 18 * SECTOR)
  image.write('hello', 20 * SECTOR, 'latin1')
  return image
}

const file = (name: string, sector = 20, length = 5) =>
  record(Buffer.from(name, 'latin1'), sector, length)

describe('an ISO 9660 image', () => {
  test('is told by its descriptor', () => {
    expect(isIso9660(imageWith([]))).toBe(true)
    expect(isIso9660(Buffer.alloc(100))).toBe(false)
  })

  test('holds its files', () => {
    const tree = readIsoTree(imageWith([file('META.JSO;1')]))
    expect(tree.map(({ path, bytes }) => [path, String(bytes)])).toEqual([['meta.jso', 'hello']])
  })

  test.each(['..', '../x', 'a/b', 'a\\b', 'a\0b'])(
    'a file named %j does not leave the tree',
    (name) => {
      expect(() => readIsoTree(imageWith([file(name)]))).toThrow(/a file name/)
    },
  )

  test('a directory that contains itself comes to an end', () => {
    expect(() => readIsoTree(imageWith([record(Buffer.from('A'), 18, SECTOR, 2)]))).toThrow(
      /deeper/,
    )
  })

  test('files that share their bytes do not multiply them', () => {
    const many = Array.from({ length: 30 }, (_, i) => file(`F${i}`, 20, 2 * SECTOR))
    expect(() => readIsoTree(imageWith(many))).toThrow(/overlap/)
  })

  test('an extent outside of the image is refused', () => {
    expect(() => readIsoTree(imageWith([file('A', 23, 2 * SECTOR)]))).toThrow(/bytes at/)
    expect(() => readIsoTree(imageWith([file('A', 0xffff_ffff, 1)]))).toThrow(/bytes at/)
  })

  test('any bytes end in a tree or in a DeploymentError', () => {
    const good = imageWith([file('A;1'), file('B;1'), record(Buffer.from('D'), 19, SECTOR, 2)])
    const change = fc.tuple(
      fc.integer({ min: 16 * SECTOR, max: 20 * SECTOR }),
      fc.uint8Array({ maxLength: 12 }),
    )
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const image = Buffer.from(good)
        for (const [at, bytes] of changes) image.set(bytes, at)
        try {
          expect(readIsoTree(image).length).toBeLessThanOrEqual(4096)
        } catch (error) {
          if (!isAgentError(error, 'DeploymentError')) throw error
        }
      }),
      { numRuns: 500 },
    )
  })
})
