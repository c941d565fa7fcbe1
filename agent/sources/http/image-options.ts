// SPDX-License-Identifier: Apache-2.0
// Owns what every HTTP room is told about an image: its urls, credentials, patience. Opens nothing.
import type { Config } from '../../config/options.ts'
import type { Random } from '../../core/backoff.ts'
import type { HttpClient } from '../../http/client.ts'
import type { SlowestRate } from '../../http/speed-floor.ts'
import { isSameServer } from '../../http/target.ts'
import type { Logger } from '../../telemetry/logger.ts'

/** The settings of contract 1.2 that govern a download; durations in seconds. */
export type HttpImageSettings = Pick<
  Config,
  | 'image_download_connection_timeout'
  | 'image_download_connection_retries'
  | 'image_download_connection_retry_interval'
  | 'image_download_low_speed_limit'
  | 'image_download_low_speed_time'
>

/** Credentials, and whom they are for. */
export interface ImageAuthorization {
  /** The Authorization header, whole; see authorizationOf. */
  readonly header: string
  /** A url of the server; no other is shown the header. */
  readonly server: string
}

export interface HttpImageOptions {
  /** Where the image is; asked in this order (contract 5.3.1). */
  readonly urls: readonly string[]
  readonly client: HttpClient
  readonly authorization?: ImageAuthorization | undefined
  readonly config: HttpImageSettings
  readonly log: Logger
  readonly random: Random
}

/** How long a request for image bytes waits, and for how little. */
export function patienceOf(config: HttpImageSettings): {
  readonly readTimeoutMs: number
  readonly slowest: SlowestRate
} {
  return {
    readTimeoutMs: config.image_download_connection_timeout * 1000,
    slowest: {
      bytesPerSecond: config.image_download_low_speed_limit,
      seconds: config.image_download_low_speed_time,
    },
  }
}

/** The headers that a request for `url` carries: credentials only to the server they were given for. */
export function imageHeaders(
  { authorization }: Pick<HttpImageOptions, 'authorization'>,
  url: string,
): Record<string, string> {
  if (!authorization || isWithheld(authorization, url)) return {}
  return { authorization: authorization.header }
}

/** True if `url` is of another server than the one the credentials are for. */
export function isWithheld(authorization: ImageAuthorization, url: string): boolean {
  const [given, asked] = [URL.parse(authorization.server), URL.parse(url)]
  return !given || !asked || !isSameServer(given, asked)
}
