// SPDX-License-Identifier: Apache-2.0
// Owns metrics as Prometheus reads them: the text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
// Does not count.
import { METRICS, type MetricName } from './table.ts'

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export type Labels = Readonly<Record<string, string>>

/** One figure; of a histogram one bucket, the sum or the count, which `suffix` says. */
export interface Sample {
  readonly name: MetricName
  readonly suffix?: '_bucket' | '_sum' | '_count'
  readonly labels: Labels
  readonly value: number
}

/** Grouped by metric, in the order of the table; metrics without a sample are left out. */
export function formatMetrics(samples: readonly Sample[]): string {
  const byName = Map.groupBy(samples, ({ name }) => name)
  return Object.entries(METRICS)
    .flatMap(([name, { type, help }]) => {
      const own = byName.get(name as MetricName)
      if (own === undefined) return []
      return [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...own.map(line)]
    })
    .map((each) => `${each}\n`)
    .join('')
}

function line({ name, suffix, labels, value }: Sample): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
  return `${name}${suffix ?? ''}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${formatValue(value)}`
}

function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return Number.isNaN(value) ? 'NaN' : String(value)
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}
