import { describe, expect, test } from 'vitest'
import { FUZZED_FORMATS, WINDOW_BYTES } from '../../../fuzz/images/formats.ts'
import { fuzzFormat } from '../../../fuzz/images/fuzz.ts'
import { unpackInMemory } from '../../../support/formats/unpacked-memory.ts'

/** `make fuzz-images` does a million of each. In lots, each with the time of a test for itself. */
const SEED = 11
const COUNT = 300
const LOTS = Array.from({ length: 10 }, (_, lot) => lot * COUNT)

describe.each(Object.entries(FUZZED_FORMATS))('a damaged %s', (_name, format) => {
  test.each(format.images())('was good before: $name', async ({ file }) => {
    await expect(unpackInMemory(format.unpack, file, WINDOW_BYTES)).resolves.toBeDefined()
  })

  test.each(LOTS)(
    'is unpacked within its window or refused as InvalidImage (%i and on)',
    async (from) => {
      const report = await fuzzFormat(format, { seed: SEED, from, count: COUNT })
      expect(report.findings).toEqual([])
      // both ways were taken, or nothing was tried
      expect(report.unpacked).toBeGreaterThan(COUNT / 20)
      expect(report.refused).toBeGreaterThan(COUNT / 20)
      expect(report.unpacked + report.refused).toBe(COUNT)
    },
  )
})
