// SPDX-License-Identifier: Apache-2.0
// Owns turning what image_info says of servers into open HTTP rooms, and planned sources into ImageSources.
// Does not ask them.
import type { Config } from '../../config/options.ts'
import type { EventPublisher } from '../../core/events.ts'
import { createHttpClient } from '../../http/client.ts'
import { createFileSource } from '../../sources/file.ts'
import { authorizationOf } from '../../sources/http/authorization.ts'
import { createHttpSource } from '../../sources/http/http-source.ts'
import type { HttpImageOptions } from '../../sources/http/image-options.ts'
import type { ImageSource } from '../../sources/source.ts'
import { createSwarmSource } from '../../sources/swarm/swarm-source.ts'
import { createSwarmTask, type OriginOptions } from '../../sources/swarm/swarm-task.ts'
import { startSwarmWorker } from '../../sources/swarm/thread/worker-host.ts'
import type { DeployImageDeps, PlanDeps } from '../request/deploy-request.ts'
import type { ImageInfo } from '../request/image-info.ts'
import type { PlannedSource } from './plan-parts.ts'

/** The image's servers, ready to be asked. Disposal closes their connections. */
export interface ImageServers extends AsyncDisposable {
  readonly http: HttpImageOptions
  /** The same as plain data, for a thread that opens its own connections. */
  readonly origin: OriginOptions
}

/** Throws ImageDownloadError (operator) for credentials that are asked for but missing. */
export function openImageServers(imageInfo: ImageInfo, deps: Omit<PlanDeps, 'root'>): ImageServers {
  const { config, log, random } = deps
  const { urls } = imageInfo
  const proxies = proxiesOf(imageInfo)
  const noProxy = imageInfo.noProxy ?? undefined
  const client = createHttpClient({ config, proxies, noProxy })
  const header = authorizationOf(imageInfo.credentials, config)
  // mirrors and the checksum file may be elsewhere: they are for nobody but the first
  const [server] = urls as [string]
  const authorization = header === undefined ? undefined : { header, server }
  return {
    http: { urls, client, authorization, config, log, random },
    origin: { urls, authorization, config: settingsOf(config), proxies, noProxy },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}

/** Every setting by its name: a new one that is left out here is an error of the compiler. */
const SETTINGS = Object.keys({
  insecure: true,
  cafile: true,
  certfile: true,
  keyfile: true,
  tls_min_version: true,
  tls_cipher_suites: true,
  image_download_connection_timeout: true,
  image_download_connection_retries: true,
  image_download_connection_retry_interval: true,
  image_download_low_speed_limit: true,
  image_download_low_speed_time: true,
} satisfies Record<keyof OriginOptions['config'], true>) as (keyof OriginOptions['config'])[]

/** What a source takes besides its part of the plan. */
export type SourceDeps = Pick<DeployImageDeps, 'log' | 'laterRack' | 'swarmMemory'> & {
  readonly config: Config
  readonly events: EventPublisher
}

/** The source that the plan names. */
export function createImageSource(
  planned: PlannedSource,
  servers: ImageServers,
  deps: SourceDeps,
): ImageSource {
  switch (planned.name) {
    case 'file':
      return createFileSource({ path: planned.url })
    case 'http':
      return createHttpSource({ ...servers.http, urls: planned.urls })
    case 'swarm':
      return createSwarmSource(
        createSwarmTask(deps.config, planned.metainfo, {
          trackers: planned.trackers,
          origin: { ...servers.origin, urls: planned.urls },
        }),
        {
          memory: deps.swarmMemory,
          startWorker: startSwarmWorker,
          laterRack: deps.laterRack,
          log: deps.log,
          events: deps.events,
        },
      )
  }
}

/** The settings that the origin needs: the worker that gets them must not know the rest, secrets included. */
function settingsOf(config: OriginOptions['config']): OriginOptions['config'] {
  const settings = SETTINGS.flatMap((name) => (name in config ? [[name, config[name]]] : []))
  return Object.fromEntries(settings) as OriginOptions['config']
}

function proxiesOf({ proxies }: ImageInfo): Record<string, string> {
  return {
    ...(proxies.http ? { http: proxies.http } : {}),
    ...(proxies.https ? { https: proxies.https } : {}),
  }
}
