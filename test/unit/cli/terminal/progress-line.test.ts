import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainProgress, progressLine } from '../../../../agent/cli/terminal/progress-line.ts'
import { progressOf } from '../../../support/event-lab.ts'

const MiB = 1024 * 1024
const half = progressOf({
  step: 'fetch',
  done: 125 * MiB,
  total: 256 * MiB,
  percent: 48.8,
  ratePerSecond: 50 * MiB,
  etaSeconds: 3,
  source: 'swarm',
  bytes: { origin: 25 * MiB, peers: 100 * MiB, file: 0 },
  peers: 4,
})
const step = { n: 1, of: 4 }

describe('a progress line', () => {
  test.each([
    [
      140,
      '1/4 writing the image [##############----------------] 48.8% 125.0 MiB/256.0 MiB 50.0 MiB/s ETA 0:03 (4 peers: 100.0 MiB, origin: 25.0 MiB)',
    ],
    [
      100,
      '1/4 writing the image [##############---------------] 48.8% 125.0 MiB/256.0 MiB 50.0 MiB/s ETA 0:03',
    ],
    [60, '1/4 writing the image [####-----] 48.8% 50.0 MiB/s ETA 0:03'],
    [40, '1/4 writing the image 48.8% ETA 0:03'],
    [30, '1/4 writing the image 48.8%'],
    [20, '1/4 writing the im~'],
  ])('of %i columns', (columns, line) => {
    const shown = progressLine(half, { step, columns })
    expect(shown.length).toBeLessThan(columns)
    expect(shown).toBe(line)
  })

  test('never fills a line, whatever is said and however narrow it is', () => {
    const progress = fc.record({
      step: fc.constantFrom('prepare', 'fetch', 'read-back', 'partition', 'hash' as const),
      done: fc.nat(2 ** 50),
      total: fc.nat(2 ** 50),
      percent: fc.double({ min: 0, max: 100, noNaN: true }),
      ratePerSecond: fc.nat(2 ** 40),
      etaSeconds: fc.option(fc.nat(10 ** 9)),
      peers: fc.nat(10_000),
      source: fc.constantFrom('swarm', 'http', null),
    })
    fc.assert(
      fc.property(progress, fc.integer({ min: 12, max: 300 }), (fields, columns) => {
        const line = progressLine(progressOf(fields as never), { step, columns })
        expect(line.length).toBeLessThan(columns)
        expect(line).toMatch(/^1\/4 /)
      }),
    )
  })

  test('elsewhere than on a terminal says the same in words', () => {
    expect(plainProgress(half, step)).toBe(
      'step 1 of 4: writing the image 48.8% 125.0 MiB/256.0 MiB 50.0 MiB/s ETA 0:03 (4 peers: 100.0 MiB, origin: 25.0 MiB)',
    )
    expect(plainProgress(progressOf({ step: 'commit', total: 0 }), undefined)).toBe(
      'making the disk bootable',
    )
  })
})
