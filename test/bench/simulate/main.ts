// SPDX-License-Identifier: Apache-2.0
// Owns `make simulate`: worlds that no laboratory has, and the measured ones to be believed. Prints one
// line per world.
//
//   NODES=90 IMAGE_MIB=3072 PIECE_KIB=4096 RATE=1000 (Mbit/s) ORIGIN_X=1 LEAVE=1
//   RACKS=4 UPLINK=2000 (Mbit/s) SEED=1 ROUNDS=1 LATENCY_MS=0.2 START_MS=300 TIMELINE=1
//   ZSTD=1 the image packed as by `ironswarm torrent create --zstd`; both bounds are printed
//   GRAIN=16  a piece is this many blocks and everything else as much smaller: quicker, a little coarser
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { OPTIONS } from '../../../agent/config/options.ts'
import { arenaShape } from '../../../agent/sources/swarm/thread/arena.ts'
import { BLOCK_BYTES } from '../../../agent/sources/swarm/torrent/piece-layout.ts'
import { type Outcome, simulate, type World } from '../../support/simulated-swarm/simulate.ts'
import { countsSetting, numberSetting, setting } from '../settings.ts'
import { fluidBoundSeconds, type RunFigures, type Scale } from '../swarm/run.ts'
import { measureRatio } from './real-ratio.ts'

const MiB = 1024 * 1024
/** Ethernet, IP and TCP headers with timestamps, 1448 of 1514 bytes, and the other direction's ACKs. */
const PAYLOAD_SHARE = 0.94
/** What a torrent alone gets of the default. */
const ARENA_BYTES = OPTIONS.swarm_memory.default / 2
/** What a socket holds, as TCP's window: enough for a full cable. */
const WINDOW_BYTES = 128 * 1024
const PROGRESS_MS = 10_000

interface Case {
  readonly name: string
  readonly nodeCount: number
  readonly imageMib: number
  readonly pieceKib: number
  readonly mbit: number
  readonly grain: number
  /** The swarm carries the packed file. */
  readonly isPacked?: boolean
}

const CASES: readonly Case[] = [
  { name: 'bench', nodeCount: 8, imageMib: 64, pieceKib: 256, mbit: 40, grain: 0 },
  { name: 'bench', nodeCount: 16, imageMib: 32, pieceKib: 128, mbit: 20, grain: 0 },
  { name: 'founding', nodeCount: 90, imageMib: 3072, pieceKib: 1024, mbit: 1000, grain: 4 },
  {
    name: 'packed',
    nodeCount: 90,
    imageMib: 3072,
    pieceKib: 1024,
    mbit: 1000,
    grain: 1,
    isPacked: true,
  },
  { name: 'large', nodeCount: 1000, imageMib: 1024, pieceKib: 1024, mbit: 1000, grain: 2 },
]

function casesOf(nodes: string | undefined): readonly Case[] {
  if (nodes === undefined) return CASES
  return countsSetting('NODES', nodes).map((nodeCount) => ({
    name: 'given',
    nodeCount,
    imageMib: numberSetting('IMAGE_MIB', 1024),
    pieceKib: numberSetting('PIECE_KIB', 1024),
    mbit: numberSetting('RATE', 1000),
    grain: numberSetting('GRAIN', 0),
    isPacked: setting('ZSTD') === '1',
  }))
}

function print(name: string, world: World, bound: number, outcome: Outcome, tookMs: number): void {
  const { seconds, originCopies, duplicates, uplinkCopies, steps } = outcome
  const last = seconds.at(-1) ?? Number.NaN
  const isCut = seconds.length < world.nodeCount
  const median = seconds[Math.floor(seconds.length / 2)] ?? Number.NaN
  const cells = [
    name.padEnd(9),
    `${world.nodeCount}`.padStart(5),
    bound.toFixed(2).padStart(8),
    (isCut ? `${seconds.length} done` : (last / bound).toFixed(2)).padStart(8),
    (median / bound).toFixed(2).padStart(7),
    `${(((last - (seconds[0] ?? 0)) / last) * 100).toFixed(0)} %`.padStart(7),
    originCopies.toFixed(2).padStart(8),
    (duplicates * 100).toFixed(1).padStart(6),
    world.racks > 1 ? uplinkCopies.toFixed(2).padStart(8) : '-'.padStart(8),
    `${(tookMs / 1000).toFixed(0)} s`.padStart(7),
    `${(steps / 1e6).toFixed(1)} M`.padStart(8),
  ]
  console.log(cells.join(' '))
}

/** The median of what `make bench-swarm` measured at this scale, ÷ bound; undefined if it did not. */
function measured(given: Case): number | undefined {
  const path = resolve('build/bench/swarm.json')
  if (!existsSync(path)) return undefined
  const runs: (RunFigures & { scale: Scale })[] = JSON.parse(readFileSync(path, 'utf8'))
  const ratios = runs
    .filter(({ program, scale }) => {
      const isSameSize =
        scale.nodeCount === given.nodeCount &&
        scale.imageBytes === given.imageMib * MiB &&
        scale.pieceBytes === given.pieceKib * 1024
      const isSameWorld =
        scale.originFactor === numberSetting('ORIGIN_X', 1) &&
        scale.isLeaving === (setting('LEAVE') === '1') &&
        scale.racks === numberSetting('RACKS', 1)
      return program === 'ironswarm' && isSameSize && isSameWorld && scale.rate === given.mbit * 1e6
    })
    .map(({ seconds, boundSeconds }) => (seconds.at(-1) ?? Number.NaN) / boundSeconds)
    .sort((a, b) => a - b)
  return ratios[Math.floor(ratios.length / 2)]
}

function printAgreement(given: Case, simulated: number): void {
  const real = measured(given)
  if (real === undefined) return
  const percent = ((simulated / real - 1) * 100).toFixed(0)
  console.log(
    `          measured ${real.toFixed(2)}, simulated ${simulated.toFixed(2)}: ${percent} %`,
  )
}

/** How full the cables were, %. */
function printTimeline({ timeline }: Outcome): void {
  const percent = (share: number) => (share * 100).toFixed(0).padStart(7)
  console.log('      s  origin   sent received')
  for (const { seconds, origin, sent, received } of timeline) {
    console.log(
      `${seconds.toFixed(1).padStart(7)} ${percent(origin)}${percent(sent)}${percent(received)}`,
    )
  }
}

/** A line every ten seconds of real time: thousand nodes take minutes. */
function createProgress(name: string): NonNullable<World['onProgress']> {
  const begun = performance.now()
  let shownMs = begun
  return (seconds, received) => {
    const nowMs = performance.now()
    if (nowMs - shownMs < PROGRESS_MS) return
    shownMs = nowMs
    const leftS = ((nowMs - begun) / 1000) * (1 / received - 1)
    console.error(
      `${name}: ${seconds.toFixed(1)} s of its time, ${(received * 100).toFixed(0)} % received, ` +
        `about ${leftS.toFixed(0)} s to go`,
    )
  }
}

/** The case with the length of the packed file, and what the raw one would have taken at best. */
async function packedCase(given: Case): Promise<{ packed: Case; rawBound: number; ratio: number }> {
  const ratio = await measureRatio(given.pieceKib * 1024)
  const rawBound = boundOf(given)
  return { packed: { ...given, imageMib: given.imageMib / ratio }, rawBound, ratio }
}

async function runPacked(given: Case, seed: number): Promise<void> {
  const { packed, rawBound, ratio } = await packedCase(given)
  const last = await run(packed, seed)
  console.log(
    `          ${given.imageMib} MiB packed to ${packed.imageMib.toFixed(0)} (${ratio.toFixed(2)} ×): last node after ` +
      `${last.toFixed(2)} s, ${(last / rawBound).toFixed(2)} of the raw file's bound of ${rawBound.toFixed(2)} s`,
  )
}

function boundOf({ nodeCount, imageMib, mbit }: Case): number {
  const originFactor = numberSetting('ORIGIN_X', 1)
  return fluidBoundSeconds({
    nodeCount,
    imageBytes: imageMib * MiB,
    rate: mbit * 1e6,
    originFactor,
  })
}

/** Resolves to when the last node has the file, s. */
async function run(given: Case, seed: number): Promise<number> {
  const blocksPerPiece = (given.pieceKib * 1024) / BLOCK_BYTES
  // a coarser grain: bytes and rates shrink alike, so times stay
  const shrink = given.grain > 0 ? Math.max(1, blocksPerPiece / given.grain) : 1
  const originFactor = numberSetting('ORIGIN_X', 1)
  const imageBytes = given.imageMib * MiB
  const rate = given.mbit * 1e6
  const racks = numberSetting('RACKS', 1)
  const uplink = numberSetting('UPLINK', given.mbit) * 1e6
  const bound = boundOf(given)
  const payload = (bits: number) => (bits / 8 / shrink) * PAYLOAD_SHARE
  const pieceCount = Math.ceil(imageBytes / (given.pieceKib * 1024))
  const world: World = {
    nodeCount: given.nodeCount,
    pieceCount,
    maxInProgress: arenaShape(given.pieceKib * 1024, pieceCount, ARENA_BYTES).maxInProgress,
    pieceLength: (given.pieceKib * 1024) / shrink,
    nodeRate: payload(rate),
    originRate: payload(rate * originFactor),
    racks,
    uplinkRate: payload(uplink),
    isLeaving: setting('LEAVE') === '1',
    seed,
    windowBytes: WINDOW_BYTES / shrink,
    latencyMs: numberSetting('LATENCY_MS', 0.2),
    startSpreadMs: numberSetting('START_MS', 300),
    limitMs: 20_000 * bound,
    onProgress: createProgress(given.name),
  }
  const begun = performance.now()
  const outcome = await simulate(world)
  print(given.name, world, bound, outcome, performance.now() - begun)
  printAgreement(given, (outcome.seconds.at(-1) ?? Number.NaN) / bound)
  if (setting('TIMELINE') === '1') printTimeline(outcome)
  return outcome.seconds.at(-1) ?? Number.NaN
}

console.log(
  'case          N  bound s   last ÷  median  spread  origin×  dup % uplinks×    took    steps',
)
for (const given of casesOf(setting('NODES'))) {
  for (let seed = 1; seed <= numberSetting('ROUNDS', 1); seed++) {
    await (given.isPacked ? runPacked : run)(given, seed + numberSetting('SEED', 0))
  }
}
