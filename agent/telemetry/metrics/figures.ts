// SPDX-License-Identifier: Apache-2.0
// Owns figures that grow: counters by label, counters of totals that begin anew, histograms. Does not know what
// they count.
import type { Labels, Sample } from './exposition.ts'
import type { MetricName } from './table.ts'

/** More series than any metric here has; beyond it labels are counted as one. */
const MOST_SERIES = 64
const OTHERS = 'other'

interface Series {
  readonly labels: Labels
  value: number
}

export interface Counter {
  add(labels: Labels, by?: number): void
  samples(): Sample[]
}

/** A counter; @param first label sets that are there from the beginning, at 0 */
export function createCounter(name: MetricName, first: readonly Labels[] = []): Counter {
  const series = createSeries(first)
  return {
    add: (labels, by = 1) => {
      series.at(labels).value += by
    },
    samples: () => series.all().map(({ labels, value }) => ({ name, labels, value })),
  }
}

/** What a total has grown by; one that is smaller than before has begun anew. */
export function createGrowth(): (key: string, total: number) => number {
  const last = new Map<string, number>()
  return (key, total) => {
    const before = last.get(key) ?? 0
    last.set(key, total)
    return total >= before ? total - before : total
  }
}

export interface Histogram {
  observe(labels: Labels, value: number): void
  samples(): Sample[]
}

/** @param bounds upper ends of the buckets, ascending, without +Inf */
export function createHistogram(name: MetricName, bounds: readonly number[]): Histogram {
  const counts = new Map<Series, number[]>()
  const series = createSeries([])
  return {
    observe: (labels, value) => {
      const one = series.at(labels)
      const buckets = counts.get(one) ?? [...bounds, Number.POSITIVE_INFINITY].map(() => 0)
      counts.set(one, buckets)
      one.value += value
      const at = bounds.findIndex((bound) => value <= bound)
      const index = at < 0 ? bounds.length : at
      buckets[index] = (buckets[index] ?? 0) + 1
    },
    samples: () =>
      series.all().flatMap((one) => {
        const { labels } = one
        let seen = 0
        const buckets = (counts.get(one) ?? []).map((count, i): Sample => {
          seen += count
          const le = i < bounds.length ? String(bounds[i]) : '+Inf'
          return { name, suffix: '_bucket', labels: { ...labels, le }, value: seen }
        })
        return [
          ...buckets,
          { name, suffix: '_sum' as const, labels, value: one.value },
          { name, suffix: '_count' as const, labels, value: seen },
        ]
      }),
  }
}

function createSeries(first: readonly Labels[]) {
  const known = new Map<string, Series>()
  const at = (labels: Labels): Series => {
    const key = JSON.stringify(labels)
    const found = known.get(key)
    if (found) return found
    if (known.size >= MOST_SERIES) {
      const others = Object.fromEntries(Object.keys(labels).map((label) => [label, OTHERS]))
      const rest = known.get(JSON.stringify(others))
      if (rest) return rest
      return add(others)
    }
    return add(labels)
  }
  const add = (labels: Labels): Series => {
    const one = { labels, value: 0 }
    known.set(JSON.stringify(labels), one)
    return one
  }
  for (const labels of first) add(labels)
  return { at, all: () => [...known.values()] }
}
