import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Piece } from '../../../../../agent/image/formats/qcow2/clusters.ts'
import { createRunMaker, type Run } from '../../../../../agent/image/formats/qcow2/runs.ts'

const CLUSTER = 64
const LIMITS = { guestBytes: 2 * CLUSTER, hostBytes: 256 }

/** Clusters of a guest's disk without a gap; those of the file are few, so that some follow each other. */
const pieces = fc
  .array(
    fc.record({
      kind: fc.constantFrom('zero', 'plain', 'compressed'),
      host: fc.integer({ min: 0, max: 12 }),
      hostBytes: fc.integer({ min: 1, max: 40 }),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((kinds) =>
    kinds.map(({ kind, host, hostBytes }, index): Piece => {
      const run = { guest: index * CLUSTER, length: CLUSTER }
      if (kind === 'zero') return { kind, ...run }
      if (kind === 'plain') return { kind, ...run, host: host * CLUSTER }
      return { kind: 'compressed', ...run, host: host * CLUSTER + 1, hostBytes }
    }),
  )

function runsOf(all: readonly Piece[]): Run[] {
  const maker = createRunMaker(LIMITS)
  const runs = all.map((piece) => maker.add(piece))
  return [...runs, maker.finish()].filter((run) => run !== undefined)
}

/** What each byte of the guest's disk is had from. */
function originsOf(runs: readonly (Run | Piece)[]): string[] {
  return runs.flatMap((run) => {
    if ('clusters' in run) return originsOf(run.clusters)
    return Array.from({ length: run.length }, (_, at) => {
      if (run.kind === 'zero') return 'zero'
      if (run.kind === 'plain') return `byte ${run.host + at}`
      return `${at} of ${run.host}+${run.hostBytes}`
    })
  })
}

test('runs say of every byte what the pieces say', () => {
  fc.assert(
    fc.property(pieces, (all) => {
      // pieces first: a run of compressed clusters keeps them, and joins others to them
      const expected = originsOf(all)
      expect(originsOf(runsOf(all))).toEqual(expected)
    }),
  )
})

test('runs hold to their limits, but zeros have none, and they leave no gap', () => {
  fc.assert(
    fc.property(pieces, (all) => {
      let guest = 0
      for (const run of runsOf(all)) {
        expect(run.guest).toBe(guest)
        guest += run.length
        if (run.kind === 'zero') continue
        expect(run.length).toBeLessThanOrEqual(LIMITS.guestBytes)
        if (run.kind === 'plain') continue
        expect(run.hostBytes).toBeLessThanOrEqual(LIMITS.hostBytes)
        for (const { host, hostBytes } of run.clusters) {
          expect(host).toBeGreaterThanOrEqual(run.host)
          expect(host + hostBytes).toBeLessThanOrEqual(run.host + run.hostBytes)
        }
      }
      expect(guest).toBe(all.length * CLUSTER)
    }),
  )
})

test('zeros that follow each other are one run, and so is what follows each other in the file too', () => {
  const zero = (index: number): Piece => ({ kind: 'zero', guest: index * CLUSTER, length: CLUSTER })
  const plain = (index: number, host: number): Piece => ({ ...zero(index), kind: 'plain', host })
  const all = [zero(0), zero(1), plain(2, 640), plain(3, 704), plain(4, 704)]
  const longer = Array.from({ length: 100 }, (_, index) => zero(index + 5))
  expect(runsOf([...all, ...longer])).toEqual([
    { kind: 'zero', guest: 0, length: 2 * CLUSTER },
    { kind: 'plain', guest: 2 * CLUSTER, length: 2 * CLUSTER, host: 640 },
    { kind: 'plain', guest: 4 * CLUSTER, length: CLUSTER, host: 704 },
    { kind: 'zero', guest: 5 * CLUSTER, length: 100 * CLUSTER },
  ])
})
