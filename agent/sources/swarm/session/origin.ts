// SPDX-License-Identifier: Apache-2.0
// Owns the origin as the engine sees it: our own HTTP code, so that credentials, CA, proxies and
// fail-over hold for the swarm too. Does not choose pieces.
import { createHttpClient } from '../../../http/client.ts'
import { createLogger } from '../../../telemetry/logger.ts'
import { createRangeReader } from '../../http/range-reader.ts'
import type { Origin } from '../engine/origin/origin.ts'
import type { OriginOptions } from '../swarm-task.ts'

/** A connection that stalls is given up after this; another one, or a peer, may be quicker. */
const MAX_READ_TIMEOUT_S = 15
/** Wrong pieces before the origin as a whole is given up, per url. */
const STRIKES_PER_URL = 3

/** @param onLogLine takes the lines the HTTP code logs, at warn and above */
export function openOrigin(
  options: OriginOptions,
  totalBytes: number,
  random: () => number,
  onLogLine: (line: string) => void,
): Origin {
  const { urls, config, proxies, noProxy } = options
  const timeoutS = Math.min(config.image_download_connection_timeout, MAX_READ_TIMEOUT_S)
  // each node begins with another url, so that all of them carry a share
  const first = Math.floor(random() * urls.length)
  const reader = createRangeReader({
    urls: [...urls.slice(first), ...urls.slice(0, first)],
    client: createHttpClient({ config, proxies, noProxy }),
    authorization: options.authorization,
    config: {
      ...config,
      image_download_connection_timeout: timeoutS,
      image_download_low_speed_time: Math.min(config.image_download_low_speed_time, timeoutS),
    },
    log: createLogger({ level: 'warn', destination: { write: onLogLine } }),
    random,
    totalBytes,
  })
  return {
    maxStrikes: STRIKES_PER_URL * urls.length,
    readRange: (range, target, signal) => reader.readRange(range, target, signal),
    reportCorrupt: (range) => reader.reportCorrupt(range),
  }
}
