// SPDX-License-Identifier: Apache-2.0
// Owns one ironswarm node of a benchmark: the agent's own way from a source through the sinks to the
// disk and back through the read-back, from the moment the gate opens. No Ironic, no boot loader.
//
//   node leech-ironswarm.ts swarm|http IMAGE_URL TORRENT TARGET SHA256 TRACKER
//   TRAILING=0: read back after the fetch, not alongside
import { readFile } from 'node:fs/promises'
import { OPTIONS } from '../../../agent/config/options.ts'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { createHttpClient, type HttpClientSettings } from '../../../agent/http/client.ts'
import { createRawLayout } from '../../../agent/image/formats/raw.ts'
import { createImageProof } from '../../../agent/image/proof/image-proof.ts'
import { downloadDeadline } from '../../../agent/image/request/download-deadline.ts'
import { createImageOnDisk } from '../../../agent/image/transfer/image-on-disk.ts'
import { sinkToDisk } from '../../../agent/image/transfer/sinks.ts'
import { transferImage } from '../../../agent/image/transfer/transfer-image.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import type { HttpImageSettings } from '../../../agent/sources/http/image-options.ts'
import type { ImageSource } from '../../../agent/sources/source.ts'
import { createSwarmSource, type SwarmSource } from '../../../agent/sources/swarm/swarm-source.ts'
import type { SwarmTask } from '../../../agent/sources/swarm/swarm-task.ts'
import { createArenaBudget } from '../../../agent/sources/swarm/thread/arena-budget.ts'
import {
  createWorkerStarter,
  SWARM_WORKER,
} from '../../../agent/sources/swarm/thread/worker-host.ts'
import { parseMetainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import { mergeTrackers } from '../../../agent/sources/swarm/torrent/trackers.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createProgressMeter } from '../../../agent/telemetry/progress-meter.ts'
import { PLAIN_CLIENT } from '../../support/http-lab.ts'
import { gateOpened, noteDone, noteReady, tellWorkers } from './gate.ts'

const [mode, url, torrent, target, sha256, tracker] = process.argv.slice(2) as [
  'swarm' | 'http',
  string,
  string,
  string,
  string,
  string,
]
const HTTP_SETTINGS: HttpClientSettings & HttpImageSettings = {
  ...PLAIN_CLIENT,
  image_download_connection_timeout: 10,
  image_download_connection_retries: 10,
  image_download_connection_retry_interval: 1,
  image_download_low_speed_limit: 1024,
  image_download_low_speed_time: 60,
}

const log = createLogger({ level: process.env['VERBOSE'] === '1' ? 'debug' : 'warn' })
const metainfo = parseMetainfo(await readFile(torrent))
const isLeaving = process.env['LEAVE'] === '1'
const device = await openBlockDevice(target, { mode: 'write', root: createRoot('/') })
const client = createHttpClient({ config: HTTP_SETTINGS })
let swarm: SwarmSource | undefined
const events = createEventStream({ now: () => Date.now() })
logEvents(events, log)

function createSource(): ImageSource {
  if (mode === 'http') {
    const deps = { config: HTTP_SETTINGS, log, random: Math.random }
    return createHttpSource({ urls: [url], client, authorization: undefined, ...deps })
  }
  const task: SwarmTask = {
    torrent: { metainfo, trackers: mergeTrackers([tracker], metainfo.trackers) },
    node: { listenPort: 6881, nearby: { lsd: 'off', rack: null } },
    origin: url === '' ? undefined : { urls: [url], config: HTTP_SETTINGS },
    http: PLAIN_CLIENT,
    limits: {
      uploadLimit: 0,
      downloadLimit: 0,
      stallTimeoutMs: 0,
      canWaitForPeers: false,
      seedTimeMs: 0,
      seedRatio: 0,
    },
  }
  tellWorkers()
  swarm = createSwarmSource(task, {
    memory: createArenaBudget(OPTIONS.swarm_memory.default),
    startWorker: createWorkerStarter({
      ...SWARM_WORKER,
      script: new URL('./gated-worker.ts', import.meta.url),
    }),
    log,
    events,
  })
  return swarm
}

if (mode === 'http') {
  noteReady()
  await gateOpened()
}
let fetchedAt = 0
let cpuSeconds = 0
events.subscribe((event) => {
  if (event.type !== 'progress' || event.progress.step !== 'read-back' || fetchedAt > 0) return
  fetchedAt = Date.now()
  const { user, system } = process.cpuUsage()
  cpuSeconds = (user + system) / 1e6
})
const progress = createProgressMeter({ now: () => performance.now(), events })
const sizeBytes = metainfo.lengthBytes
const image = createImageOnDisk({
  sizeBytes,
  layout: createRawLayout(sizeBytes, { offset: 0, length: device.geometry.sizeBytes }),
  holdBack: [],
})
image.useDevice(device)
const proof = createImageProof({
  image,
  device,
  hash: { algo: 'sha256', value: sha256 },
  isTrailing: process.env['TRAILING'] !== '0',
  progress,
})
const urls = [url]
const { signal } = new AbortController()
const source = await transferImage({
  plan: {
    imageId: 'bench',
    sizeBytes,
    sources: [
      mode === 'swarm' ? { name: 'swarm', metainfo, trackers: [], urls } : { name: 'http', urls },
    ],
  },
  target: {
    coverage: image.coverage,
    sink: sinkToDisk(image, device, proof.journaled),
    readImage: image.read,
    covered: proof.covered,
    rewritten: proof.rewritten,
  },
  createSource,
  progress,
  deadline: downloadDeadline(0),
  signal,
  events,
})
await device.sync()
await proof.verify(source.name, signal)
await proof[Symbol.asyncDispose]()
const figures = swarm?.stats()
noteDone({
  at: fetchedAt,
  cpuSeconds,
  verifiedAt: Date.now(),
  ...(figures && {
    duplicateBytes: figures.duplicateBytes,
    originBytes: figures.originBytes,
    peerBytes: figures.peerBytes,
  }),
})
progress[Symbol.dispose]()
const leave = async () => {
  clearInterval(stay)
  await source[Symbol.asyncDispose]()
  await client[Symbol.asyncDispose]()
  await device[Symbol.asyncDispose]()
  process.exit(0)
}
const stay = setInterval(() => undefined, 60_000)
process.once('SIGTERM', () => void leave())
if (isLeaving || mode === 'http') await leave()
