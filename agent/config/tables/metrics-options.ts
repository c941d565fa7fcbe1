// SPDX-License-Identifier: Apache-2.0
// Owns the options of metrics, a part of the table in options.ts, and how Ironic says them in its answer to the lookup
// (contract 1.3, 2.5). Names in files are ironic-lib's.
import { isObject, stringAt } from '../../core/json.ts'
import { bool, int, type OptionRow, path, string } from '../option-row.ts'

const BACKENDS = ['noop', 'statsd', 'collector'] as const

export const METRICS_OPTIONS = {
  metrics_backend: {
    type: 'enum',
    default: 'noop',
    values: BACKENDS,
    doc: 'statsd: send timings of API calls by UDP (docs/metrics.md). collector is as noop',
    section: 'metrics',
    key: 'backend',
  } as const,
  metrics_prepend_host: bool(false, 'Begin their names with the host name', {
    section: 'metrics',
    key: 'prepend_host',
  }),
  metrics_prepend_host_reverse: bool(true, 'The parts of that host name, the last one first', {
    section: 'metrics',
    key: 'prepend_host_reverse',
  }),
  metrics_prepend_uuid: bool(false, "Begin their names with the node's uuid", {
    section: 'metrics',
    key: 'prepend_uuid',
  }),
  metrics_global_prefix: string('What all their names begin with, before uuid and host name', {
    section: 'metrics',
    key: 'global_prefix',
  }),
  statsd_host: path('localhost', 'Host of the StatsD server', { section: 'metrics_statsd' }),
  statsd_port: int(8125, 'Its UDP port', { section: 'metrics_statsd', min: 1, max: 65535 }),
} as const satisfies Record<string, OptionRow>

/** What Ironic may say of metrics. */
export interface MetricsOverrides {
  metrics_backend?: 'statsd'
  metrics_prepend_host?: boolean
  metrics_prepend_host_reverse?: boolean
  metrics_prepend_uuid?: boolean
  metrics_global_prefix?: string
  statsd_host?: string
  statsd_port?: number
}

/**
 * The parts `metrics` and `metrics_statsd` of a lookup's config, as far as they are of the right type. Only a conductor
 * that has them on (`[metrics]agent_backend`) has a say: all others send their defaults with every lookup.
 */
export function metricsOverrides(metrics: unknown, statsd: unknown): MetricsOverrides {
  if (!isObject(metrics) || metrics['backend'] !== 'statsd') return {}
  const flag = (key: string) => {
    const value = metrics[key]
    return typeof value === 'boolean' ? { [`metrics_${key}`]: value } : {}
  }
  const prefix = stringAt(metrics, 'global_prefix')
  const host = isObject(statsd) ? stringAt(statsd, 'statsd_host') : undefined
  const port = isObject(statsd) ? statsd['statsd_port'] : undefined
  const isPort = Number.isInteger(port) && Number(port) >= 1 && Number(port) <= 65535
  return {
    metrics_backend: 'statsd',
    ...flag('prepend_host'),
    ...flag('prepend_host_reverse'),
    ...flag('prepend_uuid'),
    ...(prefix === undefined ? {} : { metrics_global_prefix: prefix }),
    ...(host === undefined ? {} : { statsd_host: host }),
    ...(isPort ? { statsd_port: Number(port) } : {}),
  }
}
