// SPDX-License-Identifier: Apache-2.0
// Owns turning what image_info says of servers into open HTTP rooms and ImageSources. Does not ask them.
import type { Config } from '../../config/options.ts'
import type { Random } from '../../core/backoff.ts'
import { createHttpClient } from '../../http/client.ts'
import { createFileSource } from '../../sources/file.ts'
import { authorizationOf } from '../../sources/http/authorization.ts'
import { createHttpSource } from '../../sources/http/http-source.ts'
import type { HttpImageOptions } from '../../sources/http/image-options.ts'
import type { ImageSource } from '../../sources/source.ts'
import { nearbyOptions, swarmLimits } from '../../sources/swarm/swarm-options.ts'
import { createSwarmSource, type SwarmSourceOptions } from '../../sources/swarm/swarm-source.ts'
import type { ArenaBudget } from '../../sources/swarm/thread/arena-budget.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ImageInfo } from '../request/image-info.ts'
import type { ImageFacts, PlannedSource } from './plan.ts'

export interface SourceDeps {
  readonly config: Config
  readonly log: Logger
  readonly random: Random
  readonly laterRack?: SwarmSourceOptions['laterRack']
}

export interface ImageSourceDeps extends SourceDeps {
  /** One for all images of a process. */
  readonly swarmMemory: ArenaBudget
}

/** The image's servers, ready to be asked. Disposal closes their connections. */
export interface ImageServers extends AsyncDisposable {
  readonly http: HttpImageOptions
}

/** Throws ImageDownloadError (operator) for credentials that are asked for but missing. */
export function openImageServers(imageInfo: ImageInfo, deps: SourceDeps): ImageServers {
  const client = createHttpClient({
    config: deps.config,
    proxies: proxiesOf(imageInfo),
    noProxy: imageInfo.noProxy ?? undefined,
  })
  return {
    http: {
      urls: imageInfo.urls,
      client,
      authorization: authorizationOf(imageInfo.credentials, deps.config),
      config: deps.config,
      log: deps.log,
      random: deps.random,
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}

/** The source a plan names. */
export function createImageSource(
  planned: PlannedSource,
  imageInfo: ImageInfo,
  facts: ImageFacts,
  servers: ImageServers,
  deps: ImageSourceDeps,
): ImageSource {
  const { config, log } = deps
  if (planned.name === 'file') return createFileSource({ path: imageInfo.urls[0] as string })
  if (planned.name === 'http' || !facts.metainfo) return createHttpSource(servers.http)
  return createSwarmSource({
    metainfo: facts.metainfo,
    trackers: [...(imageInfo.torrent?.trackers ?? []), ...config.swarm_trackers],
    webSeed: {
      urls: imageInfo.urls,
      authorization: servers.http.authorization,
      config,
      proxies: proxiesOf(imageInfo),
      noProxy: imageInfo.noProxy ?? undefined,
    },
    mode: config.swarm_mode,
    limits: swarmLimits(config),
    nearby: nearbyOptions(config),
    laterRack: deps.laterRack,
    memory: deps.swarmMemory,
    listenPort: config.swarm_listen_port,
    log,
  })
}

function proxiesOf({ proxies }: ImageInfo): Record<string, string> {
  return {
    ...(proxies.http ? { http: proxies.http } : {}),
    ...(proxies.https ? { https: proxies.https } : {}),
  }
}
