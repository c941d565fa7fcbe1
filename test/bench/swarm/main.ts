// SPDX-License-Identifier: Apache-2.0
// Owns `make bench-swarm`: which runs, in which order, at which scale; table on the screen, JSON and a
// plot under build/bench. How a run goes is run.ts's.
//
//   N=1,2,4,8 PEERS=ironswarm,http,libtorrent,aria2,transmission  which runs
//   RATE=40 (Mbit/s) IMAGE_MIB=64 PIECE_KIB=256                   instead of the scale that goes with N
//   ORIGIN_X=10 (times a node's rate) LEAVE=1 (on completion)     other worlds
//   RACKS=2 UPLINK=40 (Mbit/s per rack)  ROUNDS=3  LABEL=text  TIMELINE=1  KEEP=1 (logs)  PROFILE=1
//   JOIN=a,b                                                      earlier runs of these labels in one table
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { benchImage } from '../image.ts'
import { countsSetting, numberSetting, setting } from '../settings.ts'
import { isLeecher, LEECHERS, type LeecherName } from './leechers.ts'
import { plotRuns } from './plot.ts'
import { formatRow, formatTimeline, HEADER } from './report.ts'
import { type RunFigures, runOnce, type Scale } from './run.ts'

const MiB = 1024 * 1024
const FOLDER = resolve('build/bench')

const counts = countsSetting('N', '1,2,4,8')
const programs = (setting('PEERS') ?? Object.keys(LEECHERS).join(',')).split(',')
const rounds = numberSetting('ROUNDS', 1)
const isKept = setting('KEEP') === '1'

type BenchFigures = RunFigures & { readonly scale: Scale }

/** Two cores cannot run 16 nodes at 40 Mbit/s: the more nodes, the smaller everything, the bound stays. */
function scaleOf(nodeCount: number): Scale {
  const [imageMib, mbit, pieceKib] =
    nodeCount <= 8 ? [64, 40, 256] : nodeCount <= 16 ? [32, 20, 128] : [16, 10, 64]
  const uplink = setting('UPLINK')
  return {
    nodeCount,
    imageBytes: numberSetting('IMAGE_MIB', imageMib) * MiB,
    pieceBytes: numberSetting('PIECE_KIB', pieceKib) * 1024,
    rate: numberSetting('RATE', mbit) * 1e6,
    originFactor: numberSetting('ORIGIN_X', 1),
    isLeaving: setting('LEAVE') === '1',
    racks: numberSetting('RACKS', 1),
    uplinkRate: uplink === undefined ? undefined : Number(uplink) * 1e6,
  }
}

function scratchFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return mkdtempSync('/dev/shm/iw-bench-')
  } catch {
    return mkdtempSync(join(tmpdir(), 'iw-bench-'))
  }
}

function requirements(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces'
  for (const tool of ['ip', 'tc', 'nginx', 'opentracker']) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' })
    } catch {
      return `needs ${tool}`
    }
  }
  const unknown = programs.find((name) => !isLeecher(name))
  return unknown === undefined ? undefined : `knows no program ${unknown}`
}

/** Programs in turns, so that what else the machine does hits all of them. */
async function runAll(scratch: string): Promise<BenchFigures[]> {
  const figures: BenchFigures[] = []
  const turns = Array.from({ length: rounds }, () => programs as LeecherName[]).flat()
  console.log(HEADER)
  for (const scale of counts.map(scaleOf)) {
    const image = await benchImage(scratch, scale.imageBytes)
    for (const program of turns) {
      const run = await runOnce(program, scale, image, scratch)
      figures.push({ ...run, scale })
      console.log(formatRow(run))
      if (setting('TIMELINE') === '1') console.log(formatTimeline(run, scale.rate))
    }
  }
  return figures
}

function pathOf(label: string | undefined): string {
  return join(FOLDER, label === undefined ? 'swarm' : `swarm-${label}`)
}

function save(figures: readonly BenchFigures[]): void {
  const name = pathOf(setting('LABEL'))
  writeFileSync(`${name}.json`, `${JSON.stringify(figures, null, 2)}\n`)
  writeFileSync(`${name}.svg`, plotRuns(figures))
  console.log(`\n${name}.json and .svg`)
}

/** Long tables are measured in parts. */
function joinRuns(labels: readonly string[]): void {
  const figures = labels.flatMap((label): BenchFigures[] =>
    JSON.parse(readFileSync(`${pathOf(label)}.json`, 'utf8')),
  )
  const rank = (run: BenchFigures) => Object.keys(LEECHERS).indexOf(run.program)
  figures.sort((a, b) => a.nodeCount - b.nodeCount || rank(a) - rank(b))
  console.log([HEADER, ...figures.map(formatRow)].join('\n'))
  save(figures)
}

async function main(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true })
  const scratch = scratchFolder()
  try {
    save(await runAll(scratch))
  } finally {
    if (isKept) console.log(`logs and profiles: ${scratch}`)
    else rmSync(scratch, { recursive: true, force: true })
  }
}

const lack = requirements()
const labels = setting('JOIN')
if (labels !== undefined) {
  joinRuns(labels.split(','))
} else if (lack !== undefined) {
  console.error(`bench-swarm: ${lack}`)
  process.exitCode = 1
} else {
  await main()
}
