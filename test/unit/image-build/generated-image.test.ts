import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeGeneratedImage } from '../../../image-build/generated-image.ts'
import { describeImage } from '../../support/disk-image.ts'
import { parseGpt } from '../../support/gpt.ts'

const MiB = 1024 * 1024
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-generated-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a generated image has one partition, no two equal blocks, and is the same each time', async () => {
  const path = join(folder, 'a.raw')
  await makeGeneratedImage(path, 8 * MiB)
  await makeGeneratedImage(join(folder, 'b.raw'), 8 * MiB)
  const image = await describeImage(path)
  expect(image.sizeBytes).toBe(8 * MiB)
  expect((await describeImage(join(folder, 'b.raw'))).sha256).toBe(image.sha256)
  await using file = await open(path)
  const bytes = Buffer.alloc(8 * MiB)
  await file.read(bytes, 0, bytes.length, 0)
  expect(parseGpt(bytes.subarray(0, MiB), 512).partitions.map(({ name }) => name)).toEqual([
    'generated',
  ])
  const blocks = new Set<string>()
  for (let at = MiB; at < 7 * MiB; at += 4096) {
    blocks.add(bytes.toString('latin1', at, at + 4096))
  }
  expect(blocks.size).toBe((6 * MiB) / 4096)
})
