// SPDX-License-Identifier: Apache-2.0
// Owns what a person may find an agent at, as events tell it: the scenes that page and screen are looked at in.
import type { EventPublisher, NewEvent, Progress } from '../../../agent/core/events.ts'
import { progressOf, torrentNews } from '../../support/event-lab.ts'

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const LINK = { name: 'eno1', mac: '52:54:00:4f:12:9a', hasCarrier: true } as const

const machine = (addresses: readonly string[]): NewEvent => ({
  type: 'machine',
  facts: {
    hostname: 'ironswarm',
    version: '0.1.0',
    links: [
      { ...LINK, addresses },
      { name: 'eno2', mac: '52:54:00:4f:12:9b', hasCarrier: false, addresses: [] },
    ],
  },
})
const HARDWARE: NewEvent = {
  type: 'machine',
  facts: {
    ironicUrl: 'https://ironic.example.com:6385',
    model: 'Dell Inc. PowerEdge R6525',
    cpus: 64,
    memoryMib: 262_144,
    disks: [
      { name: '/dev/nvme0n1', sizeBytes: 960 * GiB, model: 'SAMSUNG MZQL2960HCJR' },
      { name: '/dev/sda', sizeBytes: 1800 * GiB, model: 'ATA ST2000NX0253' },
    ],
  },
}
const NODE: NewEvent = {
  type: 'machine',
  facts: { nodeUuid: '3f1c2e9a-7b54-4a0e-9d0c-1f6f0a5b7c21', nodeName: 'rack4-node17' },
}
const heartbeat = (result: 'answered' | 'failed', reason: string | null = null): NewEvent => ({
  ...{ type: 'ironic', call: 'heartbeat', result, reason, nextSeconds: 30 },
})
const SERVING: readonly NewEvent[] = [
  machine(['10.0.4.17', '2001:db8:4::17']),
  HARDWARE,
  NODE,
  heartbeat('answered'),
  { type: 'phase', phase: 'serving' },
]
const WRITE_IMAGE = ['execute_deploy_step', 'write_image'] as const
const command = (
  [name, subject]: readonly [name: string, step: string],
  status: 'RUNNING' | 'FAILED' | 'SUCCEEDED',
  details = '',
): NewEvent => ({
  type: 'command',
  commandId: '1',
  name,
  subject,
  status,
  error:
    status === 'FAILED'
      ? {
          type: 'ImageChecksumError',
          code: 500,
          message: 'Error verifying image checksum',
          details,
        }
      : null,
})
const WRITING: Progress = progressOf({
  step: 'fetch',
  done: 1250 * MiB,
  total: 2560 * MiB,
  percent: 48.8,
  ratePerSecond: 101 * MiB,
  etaSeconds: 13,
  source: 'swarm',
  bytes: { origin: 90 * MiB, peers: 1160 * MiB, file: 0 },
  uploadedBytes: 842 * MiB,
  peers: 11,
})
const NO_BYTES = { bytes: { origin: 0, peers: 0, file: 0 }, source: null, peers: 0 }
/** An array of 100 GB. */
export const SYNCING: NewEvent = {
  type: 'arrays',
  syncing: [
    {
      array: '/dev/md0',
      action: 'resync',
      figures: {
        ...{ unit: 'bytes', done: 12_345 * MiB, total: 100_365 * MiB, percent: 12.3 },
        ...{ ratePerSecond: 180 * MiB, etaSeconds: 489 },
      },
    },
  ],
}
const TORRENT: NewEvent = torrentNews({
  peers: 19,
  asked: 4,
  served: 5,
  peerList: Array.from({ length: 6 }, (_, i) => ({
    address: `10.0.4.${23 + i}:51413`,
    rateBytesPerSecond: (31 - 4 * i) * MiB,
    isNear: i < 4,
    isAsked: i < 4,
    isServed: i % 2 === 0,
  })),
  trackers: [
    {
      tracker: 'udp://tracker.example.com:6969/announce',
      state: 'answering',
      words: '',
      nodes: 90,
      askedSecondsAgo: 1,
      nextInSeconds: 2,
    },
    {
      tracker: 'http://10.0.0.5:6969/***/announce',
      state: 'failing',
      words: 'no answer within 15 s',
      nodes: null,
      askedSecondsAgo: 16,
      nextInSeconds: 2,
    },
  ],
  webseeds: ['https://images.example.com'],
  pieces: {
    total: 640,
    done: 312,
    bytes: 4 * MiB,
    map: Array.from({ length: 160 }, (_, i) => '+0+73+0+95'[(i * 7 + (i >> 3)) % 10]).join(''),
  },
  bytes: { origin: 90 * MiB, peers: 1160 * MiB, uploaded: 842 * MiB, duplicate: 0 },
  rates: { origin: 4 * MiB, peers: 97 * MiB, uploaded: 66 * MiB },
})
const TRACKER_WARNING: NewEvent = {
  type: 'warning',
  message: 'source gives up',
  fields: {},
  error: {
    type: 'SwarmStalledError',
    code: 500,
    message: 'Swarm download stalled',
    details: 'no new piece for 30 s with 2 peers; check trackers and the network between nodes',
  },
  err: {},
}

/** Ordered as a deploy is. */
export const SCENES: Readonly<Record<string, readonly NewEvent[]>> = {
  'waiting for DHCP': [machine([]), { type: 'phase', phase: 'waiting for the network' }],
  'waiting for Ironic': [
    machine(['10.0.4.17']),
    HARDWARE,
    { type: 'phase', phase: 'looking the node up' },
    {
      ...{ type: 'ironic', call: 'lookup', result: 'failed', nextSeconds: 14 },
      reason: 'status 404: Could not find a node for given addresses',
      errorType: 'LookupNodeError',
    },
  ],
  'waiting for a command': SERVING,
  'deploying by swarm': [
    ...SERVING,
    command(WRITE_IMAGE, 'RUNNING'),
    { type: 'plan', stages: ['fetch', 'read-back', 'configdrive', 'commit'] },
    { type: 'stage', stage: 'fetch', state: 'began' },
    TRACKER_WARNING,
    TORRENT,
    { type: 'progress', progress: WRITING },
  ],
  erasing: [
    ...SERVING,
    command(['execute_clean_step', 'erase_devices'], 'RUNNING'),
    { type: 'stage', stage: 'erase', state: 'began' },
    {
      type: 'progress',
      progress: progressOf({
        ...{ step: 'erase', done: 610 * GiB, total: 1800 * GiB, percent: 33.8 },
        ...{ ratePerSecond: 182 * MiB, etaSeconds: 6693, source: null },
        bytes: { origin: 0, peers: 0, file: 0 },
      }),
    },
  ],
  failed: [
    ...SERVING,
    command(WRITE_IMAGE, 'RUNNING'),
    command(
      WRITE_IMAGE,
      'FAILED',
      'sha256 of the image is 9f86d081884c7d65…, expected 2c26b46b68ffc68f…; compare image_os_hash_value with the file',
    ),
  ],
  'burning in': [
    ...SERVING,
    command(['execute_clean_step', 'burnin_memory'], 'RUNNING'),
    { type: 'stage', stage: 'burn-in', state: 'began' },
    {
      type: 'progress',
      progress: progressOf({
        ...{ step: 'burn-in', subject: 'memory', unit: 'seconds', done: 5025, total: 86_400 },
        ...{ percent: 5.8, ratePerSecond: 1, etaSeconds: 81_375, ...NO_BYTES },
      }),
    },
  ],
  inspecting: [
    ...SERVING.slice(0, -1),
    { type: 'phase', phase: 'inspecting' },
    { type: 'stage', stage: 'inspect', state: 'began' },
    {
      type: 'progress',
      progress: progressOf({
        ...{ step: 'inspect', subject: 'extra-hardware', unit: 'items', done: 3, total: 8 },
        ...{ percent: 37.5, ratePerSecond: 0.2, etaSeconds: 25, ...NO_BYTES },
      }),
    },
  ],
  'RAID syncs': [
    ...SERVING,
    command(['execute_clean_step', 'create_configuration'], 'RUNNING'),
    command(['execute_clean_step', 'create_configuration'], 'SUCCEEDED'),
    SYNCING,
  ],
  rescued: [...SERVING, { type: 'phase', phase: 'rescued' }],
}

export function tellScene(name: string, { publish }: EventPublisher): void {
  for (const event of SCENES[name] ?? []) publish(event)
}
