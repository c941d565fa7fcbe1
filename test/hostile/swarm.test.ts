import { createHash } from 'node:crypto'
import { truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTorrent } from '../../agent/sources/swarm/torrent/create-torrent.ts'
import {
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
} from '../../agent/sources/swarm/torrent/metainfo.ts'
import { makeDiskImage } from '../support/disk-image.ts'
import { type AttackedAgent, startAttackedAgent } from '../support/hostile/attacked-agent.ts'
import {
  type AttackingPeer,
  connectAttacker,
  messageOf,
  messageWith,
} from '../support/hostile/attacking-peer.ts'
import { startLimited } from '../support/hostile/limited-command.ts'
import { createHttpOrigin } from '../support/http-origin.ts'
import { createLoopDevice } from '../support/loop-device.ts'
import { freePort } from '../support/processes.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const GROUP_BYTES = 384 * MiB
const MOST_BYTES = 256 * MiB
/** What Ironic was told as heartbeat_timeout, ms. */
const HEARTBEAT_TIMEOUT_MS = 10_000
/** The crowd alone takes seconds where the machine has other work. */
const LIMIT_MS = 300_000
const NOBODY = 'http://127.0.0.1:9/announce'
/** Connections that a node takes, and some. */
const CROWD = 100

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-attack-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** A partition of 1 MiB by an MBR: what is no disk is refused before the swarm is asked. */
function firstSector(): Uint8Array {
  const sector = new Uint8Array(512)
  sector.set([0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 446)
  sector.set([0x55, 0xaa], 510)
  return sector
}

/** A torrent of zeros behind a partition table: its hashes cost nothing. */
function zeroTorrent(lengthBytes: number, pieceLength: number) {
  const piece = new Uint8Array(pieceLength)
  const hash = createHash('sha1').update(piece).digest()
  piece.set(firstSector())
  const pieceCount = lengthBytes / pieceLength
  const pieces = new Uint8Array(20 * pieceCount)
  for (let index = 1; index < pieceCount; index++) pieces.set(hash, 20 * index)
  pieces.set(createHash('sha1').update(piece).digest())
  const info = encodeInfo({ name: 'zeros', lengthBytes, pieceLength, pieces })
  const torrentFile = encodeMetainfo(info, { trackers: [[NOBODY]] })
  return { torrentFile, metainfo: parseMetainfo(torrentFile) }
}

function sparse(name: string, lengthBytes: number): string {
  const path = join(directory, name)
  writeFileSync(path, firstSector())
  truncateSync(path, lengthBytes)
  return path
}

/** As Ironic sends it. */
function writeImage({ nodeUuid }: AttackedAgent, imageInfo: object) {
  return {
    step: { interface: 'deploy', step: 'write_image', args: { image_info: imageInfo } },
    node: { uuid: nodeUuid, properties: {}, instance_info: {}, driver_internal_info: {} },
    ports: [],
    deploy_version: null,
  }
}

/** An agent that deploys the largest number of pieces there is, and the port of its swarm. */
async function deployingAgent() {
  await using made = new AsyncDisposableStack()
  const { torrentFile, metainfo } = zeroTorrent(4 * GiB, 16 * KiB)
  const origin = made.use(
    await createHttpOrigin({
      path: sparse('image.raw', 4 * GiB),
      faults: { rateBytesPerSecond: 16 * MiB },
    }),
  )
  const disk = made.use(await createLoopDevice({ sizeBytes: 5 * GiB, directory }))
  const port = await freePort()
  const agent = made.use(
    await startAttackedAgent({
      device: disk.path,
      options: { swarm_listen_port: port, swarm_lsd: 'off' },
    }),
  )
  const imageInfo = {
    id: 'zeros.raw',
    urls: [origin.url],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: '0'.repeat(64),
    torrent: { metainfo: Buffer.from(torrentFile).toString('base64') },
  }
  await agent.conductor.command('deploy.execute_deploy_step', writeImage(agent, imageInfo), false)
  const ended = made.move()
  return {
    agent,
    port,
    metainfo,
    isRunning: async () => (await agent.conductor.list()).at(-1)?.command_status === 'RUNNING',
    [Symbol.asyncDispose]: () => ended.disposeAsync(),
  }
}

/** Connects as soon as somebody listens there. */
async function attack(options: Parameters<typeof connectAttacker>[0]): Promise<AttackingPeer> {
  for (let left = 300; ; left--) {
    try {
      return await connectAttacker(options)
    } catch (error) {
      if (left === 0) throw error
      await delay(100)
    }
  }
}

async function crowd(options: Parameters<typeof connectAttacker>[0]): Promise<AttackingPeer[]> {
  const peers = [await attack(options)]
  while (peers.length < CROWD) peers.push(await attack(options))
  return peers
}

async function expectInGoodHealth(agent: AttackedAgent, since: number) {
  expect(await agent.isAlive()).toBe(true)
  expect((await agent.rss()).peakBytes).toBeLessThan(MOST_BYTES)
  const beats = [since, ...agent.heartbeats().filter((at) => at > since), performance.now()]
  const gaps = beats.slice(1).map((at, index) => at - (beats[index] as number))
  expect(Math.max(...gaps)).toBeLessThan(HEARTBEAT_TIMEOUT_MS)
}

const everything = (pieceCount: number) => messageWith(5, Buffer.alloc(pieceCount / 8, 0xff))
const UNCHOKE = messageOf(1)
const times = (count: number, ...messages: readonly Uint8Array[]) =>
  Buffer.concat(Array.from({ length: count }, () => Buffer.concat(messages)))

describe('an agent that deploys 4 GiB in pieces of 16 KiB', () => {
  test(
    'it holds 256 MiB with a hundred idle peers that have everything and read nothing, and keeps its heartbeats',
    async () => {
      await using deploy = await deployingAgent()
      const { agent, port, metainfo } = deploy
      const since = performance.now()
      const peers = await crowd({ port, infoHash: metainfo.infoHash, isMute: true })
      for (const peer of peers) peer.send(everything(metainfo.pieceCount), UNCHOKE)
      await delay(8000)
      expect(peers.filter((peer) => !peer.isClosed).length).toBe(CROWD)
      expect(await deploy.isRunning()).toBe(true)
      await expectInGoodHealth(agent, since)
      for (const peer of peers) peer[Symbol.dispose]()
    },
    LIMIT_MS,
  )

  test(
    'it drops who floods it with messages, and goes on',
    async () => {
      await using deploy = await deployingAgent()
      const { agent, port, metainfo } = deploy
      const { infoHash, pieceCount } = metainfo
      const since = performance.now()
      const floods = {
        'choke and unchoke': times(1000, messageOf(0), UNCHOKE),
        'interested and not': times(1000, messageOf(2), messageOf(3)),
        'the same HAVE': times(1000, messageOf(4, 7)),
        bitfields: everything(pieceCount),
        'bitfields that differ': Buffer.concat([
          everything(pieceCount),
          messageWith(5, Buffer.alloc(pieceCount / 8)),
        ]),
        'everything and nothing': times(1000, messageOf(14), messageOf(15)),
        'keep-alives': Buffer.alloc(4000),
        'requests that are refused': times(1000, messageOf(6, 0, 0, 16 * KiB)),
        'blocks that nobody asked for': messageWith(7, Buffer.alloc(8 + 16 * KiB)),
        cancels: times(1000, messageOf(8, 0, 0, 16 * KiB)),
        rejects: times(1000, messageOf(16, 0, 0, 16 * KiB)),
        claims: times(1000, messageWith(20, Buffer.from([3, 0, 1, 0, 0, 0, 7]))),
        'messages that nobody knows': times(1000, messageOf(99)),
      }
      const sent = await Promise.all(
        Object.values(floods).map(async (messages) => {
          using peer = await attack({ port, infoHash })
          return await peer.flood(messages)
        }),
      )
      expect(sent.length).toBe(Object.keys(floods).length)
      expect(await deploy.isRunning()).toBe(true)
      await expectInGoodHealth(agent, since)
    },
    LIMIT_MS,
  )
})

test(
  'an agent that deploys over the swarm five times, and seeds in between, holds 256 MiB',
  async () => {
    const sizeBytes = 192 * MiB
    const image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes })
    const { torrentFile } = await createTorrent({
      image,
      lengthBytes: sizeBytes,
      trackers: [[NOBODY]],
    })
    await using origin = await createHttpOrigin({ path: image.path })
    await using disk = await createLoopDevice({ sizeBytes: 2 * sizeBytes, directory })
    await using agent = await startAttackedAgent({
      device: disk.path,
      options: { swarm_lsd: 'off' },
    })
    const imageInfo = {
      id: 'image.raw',
      urls: [origin.url],
      disk_format: 'raw',
      os_hash_algo: 'sha256',
      os_hash_value: image.sha256,
      torrent: { metainfo: Buffer.from(torrentFile).toString('base64') },
    }
    for (let round = 1; round <= 5; round++) {
      await agent.conductor.command(
        'deploy.execute_deploy_step',
        writeImage(agent, imageInfo),
        false,
      )
      const last = async () => (await agent.conductor.list()).at(-1)?.command_status
      await expect.poll(last, { timeout: 60_000, interval: 250 }).toBe('SUCCEEDED')
      const rss = await agent.rss()
      console.log(`deploy ${round}: peak ${Math.round(rss.peakBytes / MiB)} MiB`)
    }
    expect(await agent.isAlive()).toBe(true)
    expect((await agent.rss()).peakBytes).toBeLessThan(MOST_BYTES)
  },
  LIMIT_MS,
)

test(
  'a seed that is asked by a hundred peers that never read holds 256 MiB, and serves another one',
  async () => {
    const image = sparse('image.raw', 256 * MiB)
    const { torrentFile, metainfo } = zeroTorrent(256 * MiB, MiB)
    const torrent = join(directory, 'image.torrent')
    writeFileSync(torrent, torrentFile)
    const port = await freePort()
    const flags = ['--swarm-listen-port', String(port), '--swarm-lsd', 'off']
    await using seed = await startLimited(
      ['seed', '--path', image, '--torrent', torrent, ...flags],
      GROUP_BYTES,
    )
    const { infoHash } = metainfo
    const wanted = Array.from({ length: 256 }, (_, piece) => messageOf(6, piece, 0, 128 * KiB))
    const peers = await crowd({ port, infoHash, isMute: true })
    for (const peer of peers) peer.send(messageOf(2), ...wanted, ...wanted)
    await delay(1000)
    // choked as long as it has not been said otherwise: what was asked before is asked again
    for (const peer of peers) peer.send(...wanted, ...wanted)
    using honest = await attack({ port, infoHash })
    honest.send(messageOf(2))
    while (honest.readBytes < 16 * KiB) {
      honest.send(messageOf(6, 3, 0, 16 * KiB))
      await delay(200)
    }
    await delay(4000)
    expect(seed.child.exitCode).toBe(null)
    expect(await seed.oomKills()).toBe(0)
    expect((await seed.rss()).peakBytes).toBeLessThan(MOST_BYTES)
    for (const peer of peers) peer[Symbol.dispose]()
  },
  LIMIT_MS,
)
