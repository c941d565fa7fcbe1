// SPDX-License-Identifier: Apache-2.0
// Owns where metrics go, by the configuration: their server and what their names begin with. Does not time anything.
import type { Config } from '../config/options.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type MetricLogger, NO_METRICS, openStatsd } from '../telemetry/statsd.ts'

export interface MetricsFacts {
  readonly log: Logger
  /** Null while no node is known. */
  readonly nodeUuid: string | null
  readonly hostname: string
}

/** Names are `[global_prefix.][uuid.][host.]name`, as Ironic has them. */
export function openMetrics(config: Config, facts: MetricsFacts): MetricLogger & Disposable {
  if (config.metrics_backend !== 'statsd') {
    return { ...NO_METRICS, [Symbol.dispose]: () => undefined }
  }
  const { hostname, nodeUuid, log } = facts
  const host = config.metrics_prepend_host_reverse
    ? hostname.split('.').reverse().join('.')
    : hostname
  return openStatsd({
    host: config.statsd_host,
    port: config.statsd_port,
    prefix: [
      config.metrics_global_prefix ?? '',
      config.metrics_prepend_uuid ? (nodeUuid ?? '') : '',
      config.metrics_prepend_host ? host : '',
    ],
    log,
  })
}
