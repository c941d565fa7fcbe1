import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { createSwarmTask, type SwarmConfig } from '../../../../agent/sources/swarm/swarm-task.ts'
import {
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
} from '../../../../agent/sources/swarm/torrent/metainfo.ts'
import { BLOCK_BYTES } from '../../../../agent/sources/swarm/torrent/piece-layout.ts'

const TLS = {
  insecure: true,
  cafile: '/ca.pem',
  certfile: '/cert.pem',
  keyfile: '/key.pem',
  tls_min_version: '1.2',
  tls_cipher_suites: 'ECDHE-RSA-AES256-GCM-SHA384',
} as const

const CONFIG: SwarmConfig = {
  swarm_mode: 'auto',
  swarm_trackers: ['http://config/announce', 'http://payload/announce'],
  swarm_listen_port: 6881,
  swarm_lsd: 'always',
  swarm_rack: 'r1',
  swarm_upload_limit: 1,
  swarm_download_limit: 2,
  swarm_stall_timeout: 3,
  swarm_seed_time: 4,
  swarm_seed_ratio: 5.5,
  ...TLS,
}

const pieces = createHash('sha1').update(new Uint8Array(BLOCK_BYTES)).digest()
const info = encodeInfo({ name: 'x', lengthBytes: BLOCK_BYTES, pieceLength: BLOCK_BYTES, pieces })
const metainfo = parseMetainfo(encodeMetainfo(info, { trackers: [['http://torrent/announce']] }))
const origin = { urls: ['http://images/x'], config: {} as never }

test('the option table becomes the task of a node, in the units of the swarm', () => {
  expect(createSwarmTask(CONFIG, metainfo, { origin })).toEqual({
    torrent: {
      metainfo,
      trackers: [
        ['http://config/announce'],
        ['http://payload/announce'],
        ['http://torrent/announce'],
      ],
    },
    node: { listenPort: 6881, nearby: { lsd: 'always', rack: 'r1' } },
    origin,
    http: TLS,
    limits: {
      uploadLimit: 1,
      downloadLimit: 2,
      stallTimeoutMs: 3000,
      canWaitForPeers: false,
      seedTimeMs: 4000,
      seedRatio: 5.5,
    },
  })
})

test('trackers that the caller knows are announced to first, the torrent’s own last', () => {
  const named = { trackers: ['http://payload/announce'] }
  expect(createSwarmTask(CONFIG, metainfo, named).torrent.trackers).toEqual([
    ['http://payload/announce'],
    ['http://config/announce'],
    ['http://torrent/announce'],
  ])
})

test('peers are waited for where the swarm is required, and without an origin there are only peers', () => {
  const task = createSwarmTask({ ...CONFIG, swarm_mode: 'require' }, metainfo)
  expect(task.limits.canWaitForPeers).toBe(true)
  expect(task.origin).toBeUndefined()
})

test('a task can be given to a worker', () => {
  const task = createSwarmTask(CONFIG, metainfo, { origin })
  expect(structuredClone(task)).toEqual(task)
})
