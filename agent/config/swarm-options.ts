// SPDX-License-Identifier: Apache-2.0
// Owns the options of the swarm, a part of the table in options.ts.
import { bytes, int, list, type OptionRow, seconds, string } from './option-row.ts'

export const SWARM_OPTIONS = {
  swarm_mode: {
    type: 'enum',
    default: 'auto',
    values: ['auto', 'off', 'require'],
    doc: 'auto: swarm when a torrent is known, HTTP for what it does not bring; off: HTTP; require: no HTTP fall-back',
    karg: 'ipa-swarm-mode',
    own: true,
  } as const,
  swarm_torrent_url: string('URL of the .torrent; {id} stands for the image id', {
    karg: 'ipa-swarm-torrent-url',
    own: true,
  }),
  swarm_trackers: list([], 'Announce URLs besides those of payload and metainfo', {
    karg: 'ipa-swarm-trackers',
    own: true,
  }),
  swarm_listen_port: int(0, 'TCP port for peers; 0 = any', {
    karg: 'ipa-swarm-listen-port',
    min: 0,
    max: 65535,
    own: true,
  }),
  swarm_seed_time: seconds(0, 'Stop seeding this long after completion; 0 = at power-off', {
    karg: 'ipa-swarm-seed-time',
    own: true,
  }),
  swarm_seed_ratio: {
    type: 'number',
    default: 0,
    min: 0,
    doc: 'Stop seeding when this many copies of the image were uploaded; 0 = no limit',
    karg: 'ipa-swarm-seed-ratio',
    own: true,
  } as const,
  swarm_lsd: {
    type: 'enum',
    default: 'auto',
    values: ['auto', 'always', 'off'],
    doc: 'Find peers on the own subnet by multicast (BEP 14); auto: while no tracker answers, never for private torrents',
    karg: 'ipa-swarm-lsd',
    own: true,
  } as const,
  swarm_rack: string(
    'Name of the rack or switch; peers of the same name are asked first. Unset: the switch as LLDP names it, else those on the same subnet',
    {
      karg: 'ipa-swarm-rack',
      own: true,
      pattern: /^.{1,64}$/,
      patternDoc: 'at most 64 characters',
    },
  ),
  swarm_memory: bytes(80 * 1024 * 1024, 'Memory for pieces on their way, all torrents together', {
    karg: 'ipa-swarm-memory',
    own: true,
  }),
  swarm_upload_limit: bytes(0, 'Upload limit, bytes per second; 0 = none', {
    karg: 'ipa-swarm-upload-limit',
    own: true,
  }),
  swarm_download_limit: bytes(0, 'Download limit, bytes per second; 0 = none', {
    karg: 'ipa-swarm-download-limit',
    own: true,
  }),
  swarm_stall_timeout: seconds(
    30,
    'auto falls back to HTTP, require fails, after this long without a new piece or below 16 KiB/s',
    {
      karg: 'ipa-swarm-stall-timeout',
      own: true,
    },
  ),
  glance_url: string('Endpoint that glance:// and bare Glance ids of torrent files resolve to', {
    karg: 'ipa-swarm-glance-url',
    own: true,
  }),
} as const satisfies Record<string, OptionRow>
