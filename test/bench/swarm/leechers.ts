// SPDX-License-Identifier: Apache-2.0
// Owns how each program is told to fetch the image: its options, its start at the gate, its word that
// it is done. Does not start them.
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What every leecher is given. */
export interface Task {
  readonly imageUrl: string
  readonly imageName: string
  readonly imageBytes: number
  readonly sha256: string
  readonly torrent: string
  readonly pieceBytes: number
  readonly tracker: string
  /** Of this node alone; the image goes here. */
  readonly folder: string
  readonly isLeaving: boolean
}

export const LEECHERS = {
  ironswarm: (task: Task) => ironswarm('swarm', task),
  http: (task: Task) => ironswarm('http', task),
  libtorrent,
  aria2,
  transmission,
} as const satisfies Record<string, (task: Task) => readonly string[]>

export type LeecherName = keyof typeof LEECHERS

export function isLeecher(name: string): name is LeecherName {
  return name in LEECHERS
}

/** What agent/main.ts gives itself: two malloc arenas, a small young generation, compiled code from disk. */
const AS_THE_AGENT = [
  'env',
  'MALLOC_ARENA_MAX=2',
  'UV_THREADPOOL_SIZE=16',
  `NODE_COMPILE_CACHE=${resolve('build/bench/compile-cache')}`,
  'node',
  '--max-semi-space-size=4',
]

function scriptPath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

function ironswarm(mode: 'swarm' | 'http', task: Task): readonly string[] {
  const target = join(task.folder, task.imageName)
  writeFileSync(target, '')
  truncateSync(target, task.imageBytes)
  const { imageUrl, torrent, sha256, tracker } = task
  const profile =
    process.env['PROFILE'] === '1' ? ['--cpu-prof', '--cpu-prof-dir', task.folder] : []
  const script = scriptPath('leech-ironswarm.ts')
  const args = [...profile, script, mode, imageUrl, torrent, target, sha256, tracker]
  return [...AS_THE_AGENT, ...args]
}

function libtorrent(task: Task): readonly string[] {
  const script = scriptPath('leech-libtorrent.py')
  return ['/usr/bin/python3', script, task.torrent, task.folder, `${task.pieceBytes}`]
}

/** The options of the first ironic torrent deployment, but for leaving, which is the run's choice. */
function aria2(task: Task): readonly string[] {
  return atTheGate([
    'aria2c',
    '--quiet',
    '--no-conf',
    `--dir=${task.folder}`,
    '--file-allocation=none',
    '--allow-overwrite=true',
    '--bt-tracker-interval=2',
    '--bt-tracker-connect-timeout=2',
    '--bt-tracker-timeout=5',
    '--enable-peer-exchange=true',
    '--bt-enable-lpd=true',
    '--enable-dht=false',
    '--seed-ratio=0.0',
    `--seed-time=${task.isLeaving ? 0 : 1000}`,
    '--listen-port=6881',
    `--on-bt-download-complete=${doneScript(task.folder)}`,
    task.torrent,
  ])
}

function transmission(task: Task): readonly string[] {
  const config = join(task.folder, 'config')
  mkdirSync(config)
  const settings = {
    'dht-enabled': false,
    'lpd-enabled': false,
    'utp-enabled': false,
    'rpc-enabled': false,
    'peer-limit-per-torrent': 60,
    'upload-slots-per-torrent': 50,
    preallocation: 0,
  }
  writeFileSync(join(config, 'settings.json'), JSON.stringify(settings))
  const torrent = join(task.folder, 'image.torrent')
  copyFileSync(task.torrent, torrent)
  const script = doneScript(task.folder, task.isLeaving ? 'kill $PPID' : '')
  const options = ['-D', '-U', '-M', '-et', '-p', '6881', '-g', config, '-w', task.folder]
  return atTheGate(['transmission-cli', ...options, '-f', script, torrent])
}

/** Programs in C start within milliseconds: a shell waits in their place. */
function atTheGate(argv: readonly string[]): readonly string[] {
  const wait = 'touch "$IW_READY"; until [ -e "$IW_GATE" ]; do sleep 0.05; done; exec "$@"'
  return ['sh', '-c', wait, 'sh', ...argv]
}

/** What the program runs when it has everything. */
function doneScript(folder: string, then = ''): string {
  const path = join(folder, 'done.sh')
  const say = `date '+{"at":%s%3N}' >"$IW_DONE.part" && mv "$IW_DONE.part" "$IW_DONE"`
  writeFileSync(path, `#!/bin/sh\n${say}\n${then}\n`, { mode: 0o755 })
  return path
}
