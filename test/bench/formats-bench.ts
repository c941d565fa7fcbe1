// SPDX-License-Identifier: Apache-2.0
// Owns `make bench-formats`: `ironswarm write` of packed images by HTTP to a loop device, against what people do by
// hand, in turns. zstd: curl | tee >(sha256sum) | zstd -d | dd. qcow2: curl to a file, qemu-img convert, which hashes
// nothing. Prints a table, keeps it as JSON. Neither of the two reads back what it wrote. The agent is the bundle that
// the ramdisk ships, started as its wrapper does; the loop device says that it has no heads, as its page cache has none.
// Ends with whole rounds before BENCH_MINUTES are over.
//
//   BENCH_MIB=4096 BENCH_ROUNDS=3 BENCH_MINUTES=13 FORMATS=zstd,qcow2,qcow2-sample,qcow2-zlib,qcow2-zstd
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createBundle } from '../support/bundle.ts'
import { describeImage } from '../support/disk-image.ts'
import { createLoopDevice } from '../support/loop-device.ts'
import { startNginx } from '../support/nginx.ts'
import { measure, median, type Run } from './measured-run.ts'
import { numberSetting, setting } from './settings.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const FOLDER = resolve('build/bench/formats')
const SIZE_BYTES = numberSetting('BENCH_MIB', 4096) * MiB
const ROUNDS = numberSetting('BENCH_ROUNDS', 3)
const MINUTES = numberSetting('BENCH_MINUTES', 13)
const RAW = join(FOLDER, 'image.raw')

interface Format {
  readonly diskFormat: 'raw' | 'qcow2'
  readonly file: string
  /** Makes `file` of the raw image. */
  readonly pack: readonly [string, ...string[]]
  /** Of `ironswarm write`. */
  readonly options?: readonly string[]
}

const convert = (file: string, ...options: string[]) =>
  ['qemu-img', 'convert', '-O', 'qcow2', ...options, RAW, join(FOLDER, file)] as const
const FORMATS: Readonly<Record<string, Format>> = {
  zstd: {
    diskFormat: 'raw',
    file: 'image.zst',
    pack: ['zstd', '-q', '-f', '-3', RAW, '-o', join(FOLDER, 'image.zst')],
  },
  qcow2: { diskFormat: 'qcow2', file: 'plain.qcow2', pack: convert('plain.qcow2') },
  // holes cost no time: what the device itself made zero is read back at the ends of each 16 MiB
  'qcow2-sample': {
    diskFormat: 'qcow2',
    file: 'plain.qcow2',
    pack: convert('plain.qcow2'),
    options: ['--zeroes-verify', 'sample'],
  },
  'qcow2-zlib': {
    diskFormat: 'qcow2',
    file: 'zlib.qcow2',
    pack: convert('zlib.qcow2', '-c', '-o', 'compression_type=zlib'),
  },
  'qcow2-zstd': {
    diskFormat: 'qcow2',
    file: 'zstd.qcow2',
    pack: convert('zstd.qcow2', '-c', '-o', 'compression_type=zstd'),
  },
}

if (process.getuid?.() !== 0) {
  console.error('bench-formats: needs root for a loop device; run it as root')
  process.exit(1)
}
const names = (setting('FORMATS') ?? Object.keys(FORMATS).join(',')).split(',')
for (const name of names) {
  if (FORMATS[name]) continue
  console.error(`bench-formats: FORMATS=${name}: there are ${Object.keys(FORMATS).join(', ')}`)
  process.exit(2)
}
const startedAt = performance.now()
rmSync(FOLDER, { recursive: true, force: true })
mkdirSync(FOLDER, { recursive: true })
makeImage()
await using bundle = await createBundle()
const started = await startNginx(FOLDER)
if (!started) throw new Error('bench-formats: nginx is not installed')
await using server = started
// room for the image, the packed file behind it, and what is left free at the end
await using disk = await createLoopDevice({ sizeBytes: 2 * SIZE_BYTES + 256 * MiB })
using _heads = withoutHeads(disk.path)
const contests: Contest[] = []
for (const name of names) contests.push(await prepare(name, FORMATS[name] as Format))
let lastRoundMs = 0
for (let round = 1; round <= ROUNDS; round++) {
  const begunAt = performance.now()
  if (begunAt - startedAt + lastRoundMs > MINUTES * 60_000) {
    console.log(`round ${round} would not end within BENCH_MINUTES=${MINUTES}`)
    break
  }
  for (const contest of contests) await compare(contest, round)
  lastRoundMs = performance.now() - begunAt
}
report()

interface Contest {
  readonly name: string
  readonly format: Format
  readonly url: string
  readonly info: string
  readonly peers: Run[]
  readonly own: Run[]
}

/** What lies on a system's disk, half of it free, behind a partition table. */
function makeImage(): void {
  const script = `tar -c --ignore-failed-read -C / usr/lib usr/bin usr/share 2>/dev/null |
    head -c ${SIZE_BYTES / 2} | dd of=${RAW} bs=1M seek=1 iflag=fullblock status=none
    truncate -s ${SIZE_BYTES} ${RAW}`
  execFileSync('bash', ['-c', script])
  execFileSync('sfdisk', ['--quiet', '--no-reread', RAW], {
    input: 'label: gpt\nstart=2048,type=L\n',
  })
}

/** What tells the agent to read nothing back before all is written, as heads would go to and fro. Disposal restores it. */
function withoutHeads(device: string): Disposable {
  const file = `/sys/block/${device.replace('/dev/', '')}/queue/rotational`
  const before = readFileSync(file, 'utf8')
  const restore = () => writeFileSync(file, before)
  // whoever is tired of it may interrupt it
  const end = () => {
    restore()
    process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end)
  writeFileSync(file, '0')
  return { [Symbol.dispose]: restore }
}

async function prepare(name: string, format: Format): Promise<Contest> {
  const { diskFormat, file, pack } = format
  const [program, ...args] = pack
  execFileSync(program, args)
  const url = `${server.url}/${file}`
  const { sha256 } = await describeImage(join(FOLDER, file))
  const info = join(FOLDER, `${name}.json`)
  const image = { id: file, urls: [url], disk_format: diskFormat }
  const hash = { os_hash_algo: 'sha256', os_hash_value: sha256 }
  writeFileSync(info, JSON.stringify({ ...image, ...hash }))
  return { name, format, url, info, peers: [], own: [] }
}

async function compare({ name, format, url, info, peers, own }: Contest, round: number) {
  peers.push(await byHand(format.diskFormat, url))
  own.push(await ironswarmWrite(info, format.options))
  const [peer, run] = [peers.at(-1), own.at(-1)]
  console.log(`round ${round} ${name}: by hand ${rate(peer)}, ironswarm ${rate(run)}`)
}

function byHand(diskFormat: Format['diskFormat'], url: string): Promise<Run> {
  const zstd = `rm -f pipe; mkfifo pipe; sha256sum <pipe >sum &
    curl -sSf ${url} | tee pipe | zstd -dc |
      dd of=${disk.path} bs=4M iflag=fullblock oflag=direct conv=fsync status=none || exit 1
    wait`
  const qcow2 = `curl -sSf -o fetched ${url} || exit 1
    qemu-img convert -n -t directsync -W -f qcow2 -O host_device fetched ${disk.path} || exit 1
    rm fetched`
  const script = `set -o pipefail; cd ${FOLDER}; ${diskFormat === 'raw' ? zstd : qcow2}; times >&3`
  return measure(spawn('bash', ['-c', script], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] }))
}

function ironswarmWrite(info: string, options: Format['options'] = []): Promise<Run> {
  const main = join(bundle.folder, 'usr/lib/ironswarm/agent/main.mjs')
  const env = 'MALLOC_ARENA_MAX=2 UV_THREADPOOL_SIZE=16 NODE_DISABLE_COMPILE_CACHE=1'
  const node = `${env} ${process.execPath} --no-memory-protection-keys --max-semi-space-size=4`
  const what = `--image-info ${info} --device ${disk.path} ${options.join(' ')} --json`
  const command = `${node} ${main} write ${what}`
  const script = `${command} 2>${FOLDER}/ironswarm.log; code=$?; times >&3; exit $code`
  return measure(spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] }))
}

function summaryOf(runs: readonly Run[]) {
  return {
    mib_per_s: SIZE_BYTES / MiB / median(runs.map((run) => run.seconds)),
    cpu_s_per_gib: (median(runs.map((run) => run.cpuSeconds)) * GiB) / SIZE_BYTES,
    peak_rss_mib: Math.max(...runs.map((run) => run.peakRssBytes)) / MiB,
  }
}

function rate(run: Run | undefined): string {
  return run ? `${(SIZE_BYTES / MiB / run.seconds).toFixed(0)} MiB/s` : '-'
}

function report(): void {
  const rows = contests.map(({ name, format, peers, own }) => ({
    name,
    rounds: own.length,
    packedMib: statSync(join(FOLDER, format.file)).size / MiB,
    ratios: own.map((run, i) => (peers[i] as Run).seconds / run.seconds),
    peer: summaryOf(peers),
    ironswarm: summaryOf(own),
  }))
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
  const rounds = rows[0]?.rounds
  console.log(
    `\nof ${SIZE_BYTES / MiB} MiB unpacked, ${rounds} rounds, ${minutes} min; ironswarm also reads file and disk back`,
  )
  console.log(
    '            packed MiB  by hand MiB/s  ironswarm  CPU s/GiB by hand  ironswarm  peak RSS MiB  ratio, of each round',
  )
  for (const { name, packedMib, peer, ironswarm, ratios } of rows) {
    const cells = [
      packedMib.toFixed(0).padStart(10),
      peer.mib_per_s.toFixed(0).padStart(15),
      ironswarm.mib_per_s.toFixed(0).padStart(11),
      peer.cpu_s_per_gib.toFixed(2).padStart(19),
      ironswarm.cpu_s_per_gib.toFixed(2).padStart(11),
      ironswarm.peak_rss_mib.toFixed(0).padStart(14),
      median(ratios).toFixed(2).padStart(7),
      `  ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}`,
    ]
    console.log(`${name.padEnd(12)}${cells.join('')}`)
  }
  writeFileSync(join(FOLDER, 'formats.json'), `${JSON.stringify(rows, null, 2)}\n`)
}
