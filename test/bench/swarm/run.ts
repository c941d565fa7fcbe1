// SPDX-License-Identifier: Apache-2.0
// Owns one run: a network, an origin, N leechers of one kind released together, and the figures of it.
// Does not print and does not compare runs.
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createTorrent } from '../../../agent/sources/swarm/torrent/create-torrent.ts'
import { stopChild } from '../../support/processes.ts'
import type { BenchImage } from '../image.ts'
import type { Result } from './gate.ts'
import { LEECHERS, type LeecherName } from './leechers.ts'
import { createNetwork, type Machine, type Network, type Traffic } from './network.ts'
import { type Origin, originUrls, startOrigin } from './origin.ts'
import { busyShare, machineTicks, type Usage, usageOf } from './usage.ts'

export interface Scale {
  readonly nodeCount: number
  readonly imageBytes: number
  readonly pieceBytes: number
  /** Bits per second. */
  readonly rate: number
  /** The origin's rate in multiples of a node's. */
  readonly originFactor: number
  readonly isLeaving: boolean
  readonly racks: number
  readonly uplinkRate: number | undefined
}

export interface RunFigures {
  readonly program: LeecherName
  readonly nodeCount: number
  readonly boundSeconds: number
  /** Start to the last byte on the disk, ascending; nodes that did not end are left out. */
  readonly seconds: readonly number[]
  readonly originCopies: number
  readonly originRequests: number
  /** Bytes on the nodes' cables ÷ image, mean: 1.05 is what headers take. */
  readonly received: number
  /** Bytes that came twice ÷ image, mean, by the program's own account. */
  readonly duplicates: number | undefined
  /** Between racks, both directions, in copies of the image. */
  readonly uplinkCopies: number
  /** Share of the TCP segments that nodes and origin sent. */
  readonly retransmitted: number
  readonly cpuSeconds: number
  readonly peakRssBytes: number
  /** Of all cores, by everybody on this machine. */
  readonly busyShare: number
  readonly timeline: readonly Step[]
}

/** What passed the cables since the step before, bytes per second. */
export interface Step {
  /** Since the start. */
  readonly seconds: number
  readonly originRate: number
  readonly sentRates: readonly number[]
  readonly receivedRates: readonly number[]
}

/** Patience: multiples of the bound, and something for the start. */
const PATIENCE = { bounds: 12, seconds: 40 }
const LOOK_MS = 50
const TIMELINE_MS = 500

/** No schedule is faster: origin, a node's own cable, everything that everybody can send (fluid model). */
export function fluidBoundSeconds(
  scale: Pick<Scale, 'nodeCount' | 'imageBytes' | 'rate' | 'originFactor'>,
): number {
  const { nodeCount, imageBytes, rate, originFactor } = scale
  const bits = imageBytes * 8
  const originRate = rate * originFactor
  const together = (nodeCount * bits) / (originRate + nodeCount * rate)
  return Math.max(bits / originRate, bits / rate, together)
}

export async function runOnce(
  program: LeecherName,
  scale: Scale,
  image: BenchImage,
  scratch: string,
): Promise<RunFigures> {
  const folder = join(scratch, `${program}-${scale.nodeCount}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  using network = createNetwork({
    nodeCount: scale.nodeCount,
    nodeRate: scale.rate,
    originRate: scale.rate * scale.originFactor,
    racks: scale.racks,
    uplinkRate: scale.uplinkRate,
  })
  const urls = originUrls(network.origin, image.name)
  const torrent = join(folder, 'image.torrent')
  const { torrentFile, metainfo } = await createTorrent({
    image: { path: image.path },
    lengthBytes: scale.imageBytes,
    pieceLength: scale.pieceBytes,
    trackers: [urls.tracker],
    webSeeds: [urls.image],
  })
  writeFileSync(torrent, torrentFile)
  await using origin = await startOrigin(network.origin, {
    folder: join(image.path, '..'),
    infoHash: metainfo.infoHash,
    scratch: folder,
  })
  const leechers: Leecher[] = []
  try {
    for (const machine of network.nodes) {
      const own = join(folder, machine.name)
      mkdirSync(own)
      const argv = LEECHERS[program]({
        imageUrl: urls.image,
        imageName: image.name,
        imageBytes: scale.imageBytes,
        sha256: image.sha256,
        torrent,
        pieceBytes: scale.pieceBytes,
        tracker: urls.tracker,
        folder: own,
        isLeaving: scale.isLeaving,
      })
      leechers.push(startLeecher(machine, argv, folder, scale.isLeaving))
    }
    await allOf(leechers, 'ready', 60)
    return await race(program, scale, leechers, folder, network, origin)
  } finally {
    await Promise.all(leechers.map(({ child }) => stopChild(child)))
    for (const { log } of leechers) closeSync(log)
  }
}

interface Leecher {
  readonly child: ChildProcess
  readonly ready: string
  readonly done: string
  readonly log: number
}

function startLeecher(
  machine: Machine,
  argv: readonly string[],
  folder: string,
  isLeaving: boolean,
): Leecher {
  const own = join(folder, machine.name)
  const [ready, done] = [join(own, 'ready'), join(own, 'done')]
  const log = openSync(join(folder, `${machine.name}.log`), 'w')
  const [command, ...args] = [...machine.on, ...argv] as [string, ...string[]]
  const env = {
    ...process.env,
    IW_READY: ready,
    IW_DONE: done,
    IW_GATE: join(folder, 'gate'),
    LEAVE: isLeaving ? '1' : '0',
  }
  return { child: spawn(command, args, { env, stdio: ['ignore', log, log] }), ready, done, log }
}

/** Opens the gate and waits for the last. */
async function race(
  program: LeecherName,
  scale: Scale,
  leechers: readonly Leecher[],
  folder: string,
  network: Network,
  origin: Origin,
): Promise<RunFigures> {
  const boundSeconds = fluidBoundSeconds(scale)
  await delay(300) // what the start has set in motion settles
  const usage = sampleUsage(leechers)
  const before = { ticks: machineTicks(), counters: network.counters() }
  const startedAt = Date.now()
  const timeline = recordTimeline(network)
  writeFileSync(join(folder, 'gate'), '')
  await allOf(leechers, 'done', PATIENCE.bounds * boundSeconds + PATIENCE.seconds)
  const spent = usage.stop()
  const segments = network.segments()
  const steps = timeline.stop()
  const after = { ticks: machineTicks(), counters: network.counters() }
  await Promise.all(leechers.map(({ child }) => stopChild(child)))
  const results = leechers.map(({ done }) => readResult(done)).filter((each) => each !== undefined)
  const received = after.counters.nodes.map(
    (each, index) => each.receivedBytes - (before.counters.nodes[index]?.receivedBytes ?? 0),
  )
  const duplicates = results.map((each) => each.duplicateBytes).filter((each) => each !== undefined)
  return {
    program,
    nodeCount: scale.nodeCount,
    boundSeconds,
    seconds: results.map(({ at }) => (at - startedAt) / 1000).sort((a, b) => a - b),
    originCopies: origin.sentBytes() / scale.imageBytes,
    originRequests: origin.requests(),
    received: mean(received) / scale.imageBytes,
    duplicates: duplicates.length > 0 ? mean(duplicates) / scale.imageBytes : undefined,
    uplinkCopies: (after.counters.uplink - before.counters.uplink) / scale.imageBytes,
    retransmitted: segments.retransmitted / segments.sent,
    cpuSeconds: mean(spent.map((each) => each.cpuSeconds)),
    peakRssBytes: Math.max(...spent.map((each) => each.rssBytes)),
    busyShare: busyShare(before.ticks, after.ticks),
    timeline: steps,
  }
}

/** How much of its cables the swarm uses at each moment: what idles there is what the last node waits for. */
function recordTimeline(network: Network): { stop(): Step[] } {
  const startedAt = performance.now()
  const steps: Step[] = []
  let previous = network.counters()
  let at = startedAt
  const look = () => {
    const now = performance.now()
    const counters = network.counters()
    const seconds = (now - at) / 1000
    const rate = (key: keyof Traffic) =>
      counters.nodes.map((node, index) =>
        Math.round((node[key] - (previous.nodes[index] as Traffic)[key]) / seconds),
      )
    steps.push({
      seconds: (now - startedAt) / 1000,
      originRate: Math.round((counters.origin.sentBytes - previous.origin.sentBytes) / seconds),
      sentRates: rate('sentBytes'),
      receivedRates: rate('receivedBytes'),
    })
    previous = counters
    at = now
  }
  const timer = setInterval(look, TIMELINE_MS)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      return steps
    },
  }
}

/** Programs that leave take their figures with them: asked for while they run. */
function sampleUsage(leechers: readonly Leecher[]): { stop(): Usage[] } {
  const look = (child: ChildProcess) => usageOf(child.pid as number)
  const none: Usage = { cpuSeconds: 0, rssBytes: 0 }
  const first = leechers.map(({ child }) => look(child) ?? none)
  const last = [...first]
  const sample = () => {
    for (const [index, { child }] of leechers.entries()) {
      last[index] = look(child) ?? (last[index] as Usage)
    }
  }
  const timer = setInterval(sample, 200)
  return {
    stop: () => {
      clearInterval(timer)
      sample()
      return last.map(({ cpuSeconds, rssBytes }, index) => ({
        cpuSeconds: cpuSeconds - (first[index]?.cpuSeconds ?? 0),
        rssBytes,
      }))
    },
  }
}

/** Waits for a file of each; a leecher that ends without it is an error, one that is late is not. */
async function allOf(
  leechers: readonly Leecher[],
  file: 'ready' | 'done',
  seconds: number,
): Promise<void> {
  const endsAt = Date.now() + seconds * 1000
  for (;;) {
    const waiting = leechers.filter((leecher) => !existsSync(leecher[file]))
    if (waiting.length === 0) return
    const dead = waiting.find(({ child }) => child.exitCode !== null || child.signalCode !== null)
    if (dead) throw new Error(`${dead.child.spawnargs.join(' ')} ended before it was ${file}`)
    if (Date.now() > endsAt) {
      if (file === 'ready') throw new Error(`${waiting.length} leechers are not ready`)
      return
    }
    await delay(LOOK_MS)
  }
}

function readResult(path: string): Result | undefined {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
