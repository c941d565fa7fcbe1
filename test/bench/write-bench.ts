// SPDX-License-Identifier: Apache-2.0
// Owns `make bench`: `ironswarm write` by HTTP to a loop device against curl | tee >(sha256sum) | dd, in
// turns, so that the ratio holds when the machine's speed drifts. Prints a table, keeps it as JSON.
import { execFileSync, spawn } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { describeImage } from '../support/disk-image.ts'
import { createHttpOrigin } from '../support/http-origin.ts'
import { createLoopDevice } from '../support/loop-device.ts'
import { startNginx } from '../support/nginx.ts'
import { measure, median, type Run } from './measured-run.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const FOLDER = resolve('build/bench')
const SIZE_BYTES = Number(process.env['BENCH_MIB'] ?? 2048) * MiB
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)

if (process.getuid?.() !== 0) {
  console.error('bench: needs root for a loop device; run it as root')
  process.exit(1)
}
mkdirSync(FOLDER, { recursive: true })
const image = await benchImage()
await using server = await imageServer(image.path)
await using disk = await createLoopDevice({ sizeBytes: SIZE_BYTES + 128 * MiB })
const info = join(FOLDER, 'image-info.json')
writeFileSync(
  info,
  JSON.stringify({
    id: 'bench',
    urls: [server.url],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: image.sha256,
  }),
)
console.log(
  `image ${SIZE_BYTES / MiB} MiB from ${server.name} on loopback to ${disk.path}, ` +
    `${cpus().length} × ${cpus()[0]?.model}, ${ROUNDS} rounds in turns`,
)
const runs = { ironswarm: [] as Run[], curl: [] as Run[] }
for (let round = 1; round <= ROUNDS; round++) {
  runs.curl.push(await curlToDd())
  runs.ironswarm.push(await ironswarmWrite())
  console.log(
    `round ${round}: curl|dd ${rate(runs.curl.at(-1))}, ironswarm ${rate(runs.ironswarm.at(-1))}`,
  )
}
report()

/** The same bytes in every run: AES-CTR of zeros, behind a partition table. */
async function benchImage() {
  const path = join(FOLDER, `image-${SIZE_BYTES / MiB}.raw`)
  if (!existsSync(path) || statSync(path).size !== SIZE_BYTES) {
    const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
    await using file = await open(path, 'w')
    const zeros = Buffer.alloc(4 * MiB)
    for (let offset = 0; offset < SIZE_BYTES; offset += zeros.length)
      await file.write(cipher.update(zeros))
    execFileSync('sfdisk', ['--quiet', '--no-reread', path], {
      input: 'label: gpt\nstart=2048,type=L\n',
    })
  }
  return describeImage(path)
}

async function imageServer(path: string) {
  const nginx = await startNginx(FOLDER)
  if (nginx) return { ...nginx, url: `${nginx.url}/${path.split('/').at(-1)}`, name: 'nginx' }
  return { ...(await createHttpOrigin({ path })), name: 'node:http (nginx is not installed)' }
}

/**
 * The reference: download, hash what was downloaded, write past the page cache. It reads nothing back. A
 * named pipe stands for `>(sha256sum)`, so that the shell waits for the hash and counts its CPU time.
 */
function curlToDd(): Promise<Run> {
  const script = `set -o pipefail; cd ${FOLDER}; rm -f pipe; mkfifo pipe
    sha256sum <pipe >curl.sha256 &
    curl -sSf ${server.url} | tee pipe |
      dd of=${disk.path} bs=4M iflag=fullblock oflag=direct conv=fsync status=none || exit 1
    wait; times >&3`
  return measure(spawn('bash', ['-c', script], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] }))
}

async function ironswarmWrite(): Promise<Run> {
  const command = `node agent/main.ts write --image-info ${info} --device ${disk.path} --json`
  return measure(
    spawn('bash', ['-c', `${command} 2>${FOLDER}/ironswarm.log; code=$?; times >&3; exit $code`], {
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    }),
  )
}

function rate(run: Run | undefined): string {
  return run ? `${(SIZE_BYTES / MiB / run.seconds).toFixed(0)} MiB/s` : '-'
}

function report(): void {
  const rows = Object.entries(runs).map(([name, list]) => ({
    name,
    mib_per_s: SIZE_BYTES / MiB / median(list.map((run) => run.seconds)),
    cpu_s_per_gib: (median(list.map((run) => run.cpuSeconds)) * GiB) / SIZE_BYTES,
    peak_rss_mib: Math.max(...list.map((run) => run.peakRssBytes)) / MiB,
  }))
  const ratio = median(runs.ironswarm.map((run, i) => (runs.curl[i] as Run).seconds / run.seconds))
  console.log('\n            MiB/s  CPU s/GiB  peak RSS MiB')
  for (const row of rows) {
    const cells = [
      row.mib_per_s.toFixed(0).padStart(6),
      row.cpu_s_per_gib.toFixed(2).padStart(11),
      row.peak_rss_mib.toFixed(0).padStart(14),
    ]
    console.log(`${row.name.padEnd(10)} ${cells.join('')}`)
  }
  console.log(
    `\nironswarm ÷ curl|dd: ${ratio.toFixed(2)} (median of ${ROUNDS} pairs); ironswarm also reads the whole disk back`,
  )
  const steps = runs.ironswarm.at(-1)?.report
  if (steps) console.log(`where the time goes (last run): ${JSON.stringify(steps)}`)
  writeFileSync(join(FOLDER, 'write.json'), `${JSON.stringify({ ratio, rows, runs }, null, 2)}\n`)
}
