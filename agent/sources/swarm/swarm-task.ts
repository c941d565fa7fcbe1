// SPDX-License-Identifier: Apache-2.0
// Owns what the option table says of a swarm, in the words of its source and of a seeder. Does not act on it.
import type { Config } from '../../config/options.ts'
import type { NearbyOptions } from './thread/protocol.ts'

export interface SwarmLimits {
  /** Bytes per second; 0 for none. */
  readonly uploadLimit: number
  readonly downloadLimit: number
  /** Give up after this long without a new piece; 0: never. */
  readonly stallTimeoutMs: number
  /** Seed this long after completion; 0: until disposed of. */
  readonly seedTimeMs: number
  /** Seed until this many copies of the image were uploaded; 0: no limit. */
  readonly seedRatio?: number
}

/** The limits of the option table. */
export function swarmLimits(
  config: Pick<
    Config,
    | 'swarm_upload_limit'
    | 'swarm_download_limit'
    | 'swarm_stall_timeout'
    | 'swarm_seed_time'
    | 'swarm_seed_ratio'
  >,
): SwarmLimits {
  return {
    uploadLimit: config.swarm_upload_limit,
    downloadLimit: config.swarm_download_limit,
    stallTimeoutMs: config.swarm_stall_timeout * 1000,
    seedTimeMs: config.swarm_seed_time * 1000,
    seedRatio: config.swarm_seed_ratio,
  }
}

/** The option table's part on nodes near this one. */
export function nearbyOptions(config: Pick<Config, 'swarm_lsd' | 'swarm_rack'>): NearbyOptions {
  return { lsd: config.swarm_lsd, rack: config.swarm_rack }
}
