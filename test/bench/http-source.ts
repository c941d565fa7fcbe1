// SPDX-License-Identifier: Apache-2.0
// Owns one measured delivery over HTTP: rate, CPU seconds per GiB, peak memory. Verifies nothing.
// node test/bench/http-source.ts URL [DEVICE]   (DEVICE is overwritten; without one bytes go nowhere)
import { Coverage } from '../../agent/core/coverage.ts'
import { createAlignedPool } from '../../agent/disk/aligned-pool.ts'
import { openBlockDevice } from '../../agent/disk/block-device.ts'
import { createHttpClient } from '../../agent/http/client.ts'
import { createHttpSource } from '../../agent/sources/http/http-source.ts'
import { probeImage } from '../../agent/sources/http/probe.ts'
import { createRoot } from '../../agent/system/root.ts'
import { imageOptions, PLAIN_CLIENT } from '../support/http-lab.ts'

const [url, path] = process.argv.slice(2)
if (url === undefined) throw new Error('usage: http-source.ts URL [DEVICE]')
await using client = createHttpClient({ config: { ...PLAIN_CLIENT, insecure: true } })
const options = imageOptions(client, [url])
const signal = new AbortController().signal
const { sizeBytes } = await probeImage(options, signal)
if (sizeBytes === null) throw new Error('the server does not tell the size')
await using device =
  path === undefined
    ? undefined
    : await openBlockDevice(path, { mode: 'write', root: createRoot('/') })
const begun = performance.now()
const before = process.cpuUsage()
await createHttpSource(options).deliver({
  totalBytes: sizeBytes,
  coverage: new Coverage(sizeBytes),
  sink: { write: async ({ offset, data }) => device?.write(offset, data) },
  pool: createAlignedPool({ bufferBytes: 4 * 1024 * 1024, count: 4 }),
  withdraw: () => undefined,
  readImage: async () => new Uint8Array(0),
  signal,
})
await device?.sync()
const seconds = (performance.now() - begun) / 1000
const { user, system } = process.cpuUsage(before)
console.log({
  bytes: sizeBytes,
  seconds,
  megabytes_per_second: Math.round(sizeBytes / 1e6 / seconds),
  cpu_seconds_per_gib: Number(((user + system) / 1e6 / (sizeBytes / 2 ** 30)).toFixed(2)),
  peak_rss_mib: Math.round(process.resourceUsage().maxRSS / 1024),
})
