// SPDX-License-Identifier: Apache-2.0
// Owns `make bench-engine`: one leecher from one seed over loopback as fast as it goes, ironswarm against
// libtorrent and aria2c in turns, to a raw file in memory; or from the web seed alone, against plain HTTP.
// Prints a table, keeps it as JSON.
//
// The fetch is measured: what no other program does, reading the image back from the disk for its SHA-256,
// comes after it; TRAILING=1 does it alongside, as the agent does on disks without heads.
//
//   IMAGE_MIB=2048 PIECE_KIB=4096 ROUNDS=3 PEERS=ironswarm,libtorrent,aria2 PROFILE=1 KEEP=1
//   FROM=origin: no seed, the image server only
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createTorrent } from '../../agent/sources/swarm/torrent/create-torrent.ts'
import { stopChild } from '../support/processes.ts'
import { benchImage } from './image.ts'
import { numberSetting, setting } from './settings.ts'
import type { Result } from './swarm/gate.ts'
import { isLeecher, LEECHERS, type LeecherName } from './swarm/leechers.ts'
import { createNamespace } from './swarm/namespace.ts'
import { originUrls, startOrigin } from './swarm/origin.ts'
import { usageOf } from './swarm/usage.ts'

const MiB = 1024 * 1024
const FOLDER = resolve('build/bench')
const IMAGE_BYTES = numberSetting('IMAGE_MIB', 2048) * MiB
const PIECE_BYTES = numberSetting('PIECE_KIB', 4096) * 1024
const ROUNDS = numberSetting('ROUNDS', 3)
const isFromOrigin = setting('FROM') === 'origin'
const programs = (
  setting('PEERS') ?? (isFromOrigin ? 'ironswarm,http' : 'ironswarm,libtorrent,aria2')
)
  .split(',')
  .filter(isLeecher)
const SEED_PORT = 6991
const PATIENCE_MS = 300_000

interface Run {
  readonly megabytesPerSecond: number
  readonly cpuPerGib: number
  readonly peakRssMib: number
}

if (process.getuid?.() !== 0) {
  console.error('bench-engine: needs root for a network namespace of its own')
  process.exit(1)
}
const scratch = mkdtempSync(
  existsSync('/dev/shm') ? '/dev/shm/iw-bench-' : join(tmpdir(), 'iw-bench-'),
)
const children: ChildProcess[] = []
// loopback of our own: ports are free, and nobody else's traffic is on it
using namespace = createNamespace('engine')
try {
  const image = await benchImage(scratch, IMAGE_BYTES)
  const machine = { name: 'origin', address: '127.0.0.1', on: namespace.on }
  const urls = originUrls(machine, image.name)
  const { torrentFile, metainfo } = await createTorrent({
    image: { path: image.path },
    lengthBytes: IMAGE_BYTES,
    pieceLength: PIECE_BYTES,
    trackers: [urls.tracker],
    ...(isFromOrigin && { webSeeds: [urls.image] }),
  })
  const torrent = join(scratch, 'image.torrent')
  writeFileSync(torrent, torrentFile)
  await using _origin = await startOrigin(machine, {
    folder: scratch,
    infoHash: metainfo.infoHash,
    scratch,
  })
  if (!isFromOrigin) {
    const script = new URL('./seed-libtorrent.py', import.meta.url).pathname
    const seed = start('seed', ['/usr/bin/python3', script, torrent, scratch, `${SEED_PORT}`])
    await until(join(scratch, 'seed', 'ready'), seed)
  }
  const runs = new Map<LeecherName, Run[]>(programs.map((program) => [program, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const program of programs) {
      const run = await leech(program, { torrent, image, urls })
      runs.get(program)?.push(run)
      console.log(
        `round ${round + 1} ${program.padEnd(11)} ${run.megabytesPerSecond.toFixed(0)} MB/s, ` +
          `${run.cpuPerGib.toFixed(2)} CPU s/GiB, ${run.peakRssMib.toFixed(0)} MiB`,
      )
    }
  }
  report(runs)
} finally {
  await Promise.all(children.map(stopChild))
  if (setting('KEEP') === '1') console.log(`logs and profiles: ${scratch}`)
  else rmSync(scratch, { recursive: true, force: true })
}

/** Starts a program with a folder of its own for what it says. */
function start(name: string, argv: readonly string[]): ChildProcess {
  const own = join(scratch, name)
  mkdirSync(own, { recursive: true })
  const log = openSync(join(own, 'log'), 'w')
  const [command, ...args] = [...namespace.on, ...argv] as unknown as [string, ...string[]]
  const env = {
    ...process.env,
    IW_READY: join(own, 'ready'),
    IW_DONE: join(own, 'done'),
    IW_GATE: join(own, 'gate'),
    LEAVE: '1',
    TRAILING: setting('TRAILING') ?? '0',
  }
  const child = spawn(command, args, { env, stdio: ['ignore', log, log], cwd: own })
  closeSync(log)
  children.push(child)
  return child
}

async function until(file: string, child: ChildProcess): Promise<void> {
  const endsAt = Date.now() + PATIENCE_MS
  while (!existsSync(file)) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(' ')} ended too early`)
    if (Date.now() > endsAt) throw new Error(`${file} does not appear`)
    await delay(20)
  }
}

interface Source {
  readonly torrent: string
  readonly image: { readonly name: string; readonly sha256: string }
  readonly urls: { readonly image: string; readonly tracker: string }
}

async function leech(program: LeecherName, { torrent, image, urls }: Source): Promise<Run> {
  const own = join(scratch, program)
  rmSync(own, { recursive: true, force: true })
  mkdirSync(own)
  const argv = LEECHERS[program]({
    imageUrl: isFromOrigin ? urls.image : '',
    imageName: image.name,
    imageBytes: IMAGE_BYTES,
    sha256: image.sha256,
    torrent,
    pieceBytes: PIECE_BYTES,
    tracker: urls.tracker,
    folder: own,
    isLeaving: true,
  })
  const child = start(program, argv)
  await until(join(own, 'ready'), child)
  await delay(300)
  const pid = child.pid as number
  const before = usageOf(pid)?.cpuSeconds ?? 0
  let last = { cpuSeconds: before, rssBytes: 0 }
  const sampler = setInterval(() => {
    last = usageOf(pid) ?? last
  }, 20)
  const startedAt = Date.now()
  writeFileSync(join(own, 'gate'), '')
  await until(join(own, 'done'), child)
  clearInterval(sampler)
  const { at, cpuSeconds = last.cpuSeconds }: Result = JSON.parse(
    readFileSync(join(own, 'done'), 'utf8'),
  )
  await stopChild(child)
  return {
    megabytesPerSecond: IMAGE_BYTES / 1e3 / (at - startedAt),
    cpuPerGib: (cpuSeconds - before) / (IMAGE_BYTES / 2 ** 30),
    peakRssMib: last.rssBytes / MiB,
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

/** Ratios within a round: what else the machine does hits both. */
function report(runs: ReadonlyMap<LeecherName, readonly Run[]>): void {
  const own = runs.get('ironswarm') ?? []
  const rows = [...runs].map(([program, list]) => ({
    program,
    mb_per_s: median(list.map((run) => run.megabytesPerSecond)),
    cpu_s_per_gib: median(list.map((run) => run.cpuPerGib)),
    peak_rss_mib: Math.max(...list.map((run) => run.peakRssMib)),
    ironswarm_ratio: median(
      own.map((run, i) => run.megabytesPerSecond / (list[i] as Run).megabytesPerSecond),
    ),
  }))
  console.log('\nprogram       MB/s  CPU s/GiB  peak RSS MiB  ironswarm ÷ it')
  for (const row of rows) {
    const cells = [
      row.mb_per_s.toFixed(0).padStart(6),
      row.cpu_s_per_gib.toFixed(2).padStart(11),
      row.peak_rss_mib.toFixed(0).padStart(14),
      row.ironswarm_ratio.toFixed(2).padStart(16),
    ]
    console.log(`${row.program.padEnd(11)} ${cells.join('')}`)
  }
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(
    join(FOLDER, isFromOrigin ? 'engine-origin.json' : 'engine.json'),
    `${JSON.stringify({ rows, runs: [...runs] }, null, 2)}\n`,
  )
}
