// SPDX-License-Identifier: Apache-2.0
// Owns what a node is to do in one swarm, as plain data that a worker can be given: made once, at the
// edge, and handed down whole. Does not act on it.
import type { Config } from '../../config/options.ts'
import type { HttpClientSettings } from '../../http/client.ts'
import type { TlsSettings } from '../../http/tls.ts'
import type { HttpImageSettings, ImageAuthorization } from '../http/image-options.ts'
import type { Metainfo } from './torrent/metainfo.ts'
import { mergeTrackers, type TrackerList } from './torrent/trackers.ts'

/** One torrent on one node. */
export interface SwarmTask {
  readonly torrent: SwarmTorrent
  readonly node: SwarmNode
  /** Without it there are only peers. */
  readonly origin: OriginOptions | undefined
  /** TLS of trackers: whom to trust, and who we are. */
  readonly http: TlsSettings
  readonly limits: SwarmLimits
}

export interface SwarmTorrent {
  readonly metainfo: Metainfo
  /** All that are announced to, in tiers (BEP 12); those of the metainfo come last. */
  readonly trackers: readonly (readonly string[])[]
}

export interface SwarmNode {
  /** TCP port peers connect to; 0 for any. */
  readonly listenPort: number
  readonly nearby: Nearby
}

/** How nodes near this one are found and told from others. */
export interface Nearby {
  /** Local service discovery (BEP 14); `auto`: while no tracker answers, and not for private torrents. */
  readonly lsd: 'auto' | 'always' | 'off'
  /** Name of the rack; null: the subnet decides. */
  readonly rack: string | null
}

/** The HTTP servers of the image. */
export interface OriginOptions {
  /** The image's own urls; all hold the same bytes. */
  readonly urls: readonly string[]
  readonly authorization?: ImageAuthorization | undefined
  /** TLS, timeouts and retries. */
  readonly config: HttpClientSettings & HttpImageSettings
  readonly proxies?: Readonly<Record<string, string>> | undefined
  readonly noProxy?: string | undefined
}

export interface SwarmLimits {
  /** Bytes per second; 0 for none. */
  readonly uploadLimit: number
  readonly downloadLimit: number
  /** Give up after this long without a new piece; 0: never. */
  readonly stallTimeoutMs: number
  /** A lost origin is waited out: a peer may still come. */
  readonly canWaitForPeers: boolean
  /** Seed this long after completion; 0: until disposed of. */
  readonly seedTimeMs: number
  /** Seed until this many copies of the image were uploaded; 0: no limit. */
  readonly seedRatio: number
}

/** The option table's part. */
export type SwarmConfig = TlsSettings &
  Pick<
    Config,
    | 'swarm_mode'
    | 'swarm_trackers'
    | 'swarm_listen_port'
    | 'swarm_lsd'
    | 'swarm_rack'
    | 'swarm_upload_limit'
    | 'swarm_download_limit'
    | 'swarm_stall_timeout'
    | 'swarm_seed_time'
    | 'swarm_seed_ratio'
  >

/**
 * The task of this node as the option table has it.
 * @param named what the caller knows besides: trackers, which come before all others, and the origin
 */
export function createSwarmTask(
  config: SwarmConfig,
  metainfo: Metainfo,
  named: {
    readonly trackers?: TrackerList | undefined
    readonly origin?: OriginOptions | undefined
  } = {},
): SwarmTask {
  return {
    torrent: {
      metainfo,
      trackers: mergeTrackers(named.trackers, config.swarm_trackers, metainfo.trackers),
    },
    node: {
      listenPort: config.swarm_listen_port,
      nearby: { lsd: config.swarm_lsd, rack: config.swarm_rack },
    },
    origin: named.origin,
    http: tlsOf(config),
    limits: {
      uploadLimit: config.swarm_upload_limit,
      downloadLimit: config.swarm_download_limit,
      stallTimeoutMs: config.swarm_stall_timeout * 1000,
      canWaitForPeers: config.swarm_mode === 'require',
      seedTimeMs: config.swarm_seed_time * 1000,
      seedRatio: config.swarm_seed_ratio,
    },
  }
}

/** These alone: a worker is given nothing that it has no use for. */
function tlsOf(config: TlsSettings): TlsSettings {
  const { insecure, cafile, certfile, keyfile, tls_min_version, tls_cipher_suites } = config
  const suites = tls_cipher_suites === undefined ? {} : { tls_cipher_suites }
  return { insecure, cafile, certfile, keyfile, tls_min_version, ...suites }
}
