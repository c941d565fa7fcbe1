import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  createInOrderFile,
  FileRewound,
  type InOrderFile,
} from '../../../../agent/image/transfer/in-order-file.ts'

const BYTES = Buffer.from('the file from its beginning to its end')

const write = ({ sink }: InOrderFile, offset: number, length: number, bytes = BYTES) =>
  sink.write({ offset, data: bytes.subarray(offset, offset + length), from: 'origin' })

async function readAll(file: InOrderFile): Promise<string> {
  const parts: Buffer[] = []
  for await (const { bytes } of file.chunks()) parts.push(Buffer.from(bytes))
  return Buffer.concat(parts).toString()
}

describe('a file that is handed on as it comes', () => {
  test('comes in its order, also where an extent overtakes another, and is hashed', async () => {
    const file = createInOrderFile(BYTES.length, 'sha256')
    const reading = readAll(file)
    await Promise.all([write(file, 0, 10), write(file, 20, BYTES.length - 20), write(file, 10, 10)])
    expect(await reading).toBe(BYTES.toString())
    expect(file.digest()).toBe(createHash('sha256').update(BYTES).digest('hex'))
  })

  test('holds a write until its bytes were made use of', async () => {
    const file = createInOrderFile(BYTES.length, 'sha256')
    let isTaken = false
    const writing = write(file, 0, BYTES.length).then(() => {
      isTaken = true
    })
    const chunks = file.chunks()
    await chunks.next()
    await new Promise(setImmediate)
    expect(isTaken).toBe(false)
    expect(await chunks.next()).toEqual({ done: true, value: undefined })
    await writing
  })

  test('tells who reads it that it begins anew, and is hashed from there', async () => {
    const file = createInOrderFile(BYTES.length, 'sha256')
    const first = readAll(file)
    await write(file, 0, 12)
    const again = Buffer.from(BYTES).reverse()
    const writing = write(file, 0, again.length, again)
    await expect(first).rejects.toBeInstanceOf(FileRewound)
    expect(await readAll(file)).toBe(again.toString())
    await writing
    expect(file.digest()).toBe(createHash('sha256').update(again).digest('hex'))
  })

  test('ends both sides with what failed', async () => {
    const file = createInOrderFile(BYTES.length, 'sha256')
    const waiting = [write(file, 0, 5), write(file, 20, 5)]
    file.fail(new Error('the disk is gone'))
    file.fail(new Error('another'))
    for (const end of [...waiting, write(file, 5, 5), readAll(file)]) {
      await expect(end).rejects.toThrow('the disk is gone')
    }
  })
})
