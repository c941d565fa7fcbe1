// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFileSource } from '../../../agent/sources/file.ts'
import { createMemoryDisk, randomBytes, sha256 } from '../../support/http-lab.ts'

const image = randomBytes(3_000_001)
let folder: string
let path: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm file-'))
  path = join(folder, 'image.raw')
  await writeFile(path, image)
})
afterAll(() => rm(folder, { recursive: true }))

test('brings a file named by path or by url', async () => {
  for (const name of [path, pathToFileURL(path).href]) {
    const disk = createMemoryDisk(image.length)
    await createFileSource({ path: name }).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(image))
    expect(disk.peakWrites).toBeLessThanOrEqual(3)
  }
})

test('brings only what is missing, aligned to the buffers', async () => {
  const ranges = [{ offset: 5, length: 1_000_000 }]
  const disk = createMemoryDisk(image.length, { held: { image, ranges } })
  await createFileSource({ path }).deliver(disk.request())
  expect(sha256(disk.bytes)).toBe(sha256(image))
  expect(disk.writes.reduce((sum, { length }) => sum + length, 0)).toBe(2_000_001)
})

test('says both sizes when the file is not the image', async () => {
  const disk = createMemoryDisk(image.length + 1)
  await expect(createFileSource({ path }).deliver(disk.request())).rejects.toThrow(
    /image.raw is 3000001 bytes, the image is expected to be 3000002 bytes/,
  )
})

test('a missing file is an ImageDownloadError', async () => {
  const disk = createMemoryDisk(5)
  const source = createFileSource({ path: join(folder, 'none') })
  await expect(source.deliver(disk.request())).rejects.toMatchObject({ type: 'ImageDownloadError' })
})

test('passes an error of the sink on unchanged', async () => {
  const broken = new Error('EIO')
  const disk = createMemoryDisk(image.length, { onWrite: () => Promise.reject(broken) })
  await expect(createFileSource({ path }).deliver(disk.request())).rejects.toBe(broken)
})

test('ends when the signal aborts', async () => {
  const controller = new AbortController()
  const disk = createMemoryDisk(image.length, { onWrite: async () => controller.abort() })
  const delivery = createFileSource({ path }).deliver(disk.request({ signal: controller.signal }))
  await expect(delivery).rejects.toMatchObject({ type: 'CancelledError' })
})
