import { describe, expect, test } from 'vitest'
import { FUZZED_FORMATS } from '../../../fuzz/images/formats.ts'
import { fuzzFormat } from '../../../fuzz/images/fuzz.ts'

/** `make fuzz-images` does a million of each. In lots, each with the time of a test for itself. */
const SEED = 11
const COUNT = 300
const LOTS = Array.from({ length: 10 }, (_, lot) => lot * COUNT)

describe.each(Object.entries(FUZZED_FORMATS))('a damaged %s', (_name, format) => {
  test.each(format.images())('was good before: $name', async ({ file }) => {
    await format.read(file)
  })

  test.each(LOTS)('is read as it should be or refused by name (%i and on)', async (from) => {
    const report = await fuzzFormat(format, { seed: SEED, from, count: COUNT })
    expect(report.findings).toEqual([])
    // both ways were taken, or nothing was tried
    expect(report.taken).toBeGreaterThan(COUNT / 20)
    expect(report.refused).toBeGreaterThan(COUNT / 20)
    expect(report.taken + report.refused).toBe(COUNT)
  })
})
