import { createHash, randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeConfigDrive,
  type FetchConfigDrive,
  loadWhole,
} from '../../../../agent/disk/configdrive/decode.ts'

const MiB = 1024 * 1024
const image = Buffer.from('\xeb<\x90mkfs.fat: a file system image', 'latin1')
const encoded = gzipSync(image).toString('base64')
const noFetch = () => Promise.reject(new Error('nothing to fetch'))

const decode = async (text: string, fetchUrl: FetchConfigDrive) =>
  Buffer.from(await loadWhole(await decodeConfigDrive(text, fetchUrl)))

describe('decoding a config drive', () => {
  test('base64 of a gzip is the image', async () => {
    expect(await decode(encoded, noFetch)).toEqual(image)
  })

  test('line ends and other characters outside of the alphabet are skipped, as Python does', async () => {
    const wrapped = encoded.replaceAll(/(.{8})/g, '$1\r\n ')
    expect(await decode(wrapped, noFetch)).toEqual(image)
  })

  test.each([
    ['base64 text', Buffer.from(`${encoded}\n`)],
    ['gzip', gzipSync(image)],
    ['raw bytes', image],
  ])('a url, in any case, is fetched: the body may be %s', async (_, body) => {
    const asked: string[] = []
    const fetchUrl = async (url: string) => {
      asked.push(url)
      return body
    }
    expect(await decode('HTTP://images.example/config', fetchUrl)).toEqual(image)
    expect(asked).toEqual(['HTTP://images.example/config'])
  })

  test('a failed fetch is a DeploymentError', async () => {
    await expect(decodeConfigDrive('http://x/', noFetch)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('nothing to fetch'),
    })
  })

  test.each([
    ['base64 of no gzip', Buffer.from('plain').toString('base64')],
    ['nothing at all', ''],
    ['a cut gzip', gzipSync(Buffer.alloc(5000, 'abc')).subarray(0, 30).toString('base64')],
    ['a gzip of nothing', gzipSync('').toString('base64')],
  ])('%s is a DeploymentError', async (_, text) => {
    await expect(decodeConfigDrive(text, noFetch)).rejects.toMatchObject({
      type: 'DeploymentError',
    })
  })

  test('64 MiB are taken, one byte more is not', async () => {
    const largest = gzipSync(Buffer.alloc(64 * MiB)).toString('base64')
    expect((await decodeConfigDrive(largest, noFetch)).sizeBytes).toBe(64 * MiB)
    const larger = gzipSync(Buffer.alloc(64 * MiB + 1)).toString('base64')
    await expect(decodeConfigDrive(larger, noFetch)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('more than 64 MiB'),
    })
    const raw = Buffer.alloc(64 * MiB + 1)
    await expect(decodeConfigDrive('http://x/', async () => raw)).rejects.toMatchObject({
      details: expect.stringContaining('more than 64 MiB'),
    })
  })

  test('a gzip bomb is not unpacked', async () => {
    const bomb = gzipSync(Buffer.alloc(512 * MiB)).toString('base64')
    const before = process.memoryUsage().rss
    await expect(decodeConfigDrive(bomb, noFetch)).rejects.toMatchObject({
      details: expect.stringContaining('more than 64 MiB'),
    })
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB)
  })

  test('it can be read again and again, in parts, wherever line ends cut the base64', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.integer({ min: 1, max: 90 }),
        async (bytes, width) => {
          const text = gzipSync(bytes).toString('base64')
          const lines = text.replaceAll(new RegExp(`(.{${width}})`, 'g'), '$1\n')
          const drive = await decodeConfigDrive(lines, noFetch)
          expect(drive.sizeBytes).toBe(bytes.length)
          expect(Buffer.from(drive.head)).toEqual(Buffer.from(bytes))
          for (let turn = 0; turn < 2; turn++) {
            expect(Buffer.from(await loadWhole(drive))).toEqual(Buffer.from(bytes))
          }
        },
      ),
      { numRuns: 30 },
    )
  })

  test('a large one that cannot be packed is never whole in memory', async () => {
    const large = randomBytes(10 * MiB)
    const text = gzipSync(large, { level: 0 })
      .toString('base64')
      .replaceAll(/(.{1000})/g, '$1\n')
    const drive = await decodeConfigDrive(text, noFetch)
    let largestPart = 0
    const hash = createHash('sha256')
    for await (const part of drive.parts()) {
      largestPart = Math.max(largestPart, part.length)
      hash.update(part)
    }
    expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'))
    expect(largestPart).toBeLessThanOrEqual(MiB)
  })

  test('whatever text comes in, the answer is an image or a DeploymentError without the text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 20 }), async (text) => {
        const outcome = await decodeConfigDrive(text, noFetch).catch((error) => error)
        expect(outcome.type).toBe('DeploymentError')
        expect(outcome.message).not.toContain(text)
      }),
    )
  })
})
