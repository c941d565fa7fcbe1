import { describe, expect, test } from 'vitest'
import { FUZZED_FORMATS, WINDOW_BYTES } from '../../../fuzz/images/formats.ts'
import { fuzzFormat } from '../../../fuzz/images/fuzz.ts'
import { unpackInMemory } from '../../../support/formats/unpacked-memory.ts'

/** `make fuzz-images` does a million of each. */
const KEPT = { seed: 11, from: 0, count: 3000 }

describe.each(Object.entries(FUZZED_FORMATS))('a damaged %s', (_name, format) => {
  test.each(format.images())('was good before: $name', async ({ file }) => {
    await expect(unpackInMemory(format.unpack, file, WINDOW_BYTES)).resolves.toBeDefined()
  })

  test('is unpacked within its window or refused as InvalidImage', async () => {
    const report = await fuzzFormat(format, KEPT)
    expect(report.findings).toEqual([])
    // both ways were taken, or nothing was tried
    expect(report.unpacked).toBeGreaterThan(KEPT.count / 20)
    expect(report.refused).toBeGreaterThan(KEPT.count / 20)
    expect(report.unpacked + report.refused).toBe(KEPT.count)
  })
})
