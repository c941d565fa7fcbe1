// SPDX-License-Identifier: Apache-2.0
// Owns the questions asked before a disk is touched: expected hash, the .torrent, size on the server, the
// first bytes, the tables of a qcow2. What is missing without harm becomes a warning. Does not decide; plan.ts does.
import type { Config } from '../../config/options.ts'
import { isAgentError, messageOf } from '../../core/errors.ts'
import { MiB } from '../../core/units.ts'
import { readFirstOfFile } from '../../sources/file.ts'
import { judgeHead } from '../../sources/http/answer.ts'
import { fetchSmall } from '../../sources/http/fetch-small.ts'
import { type HttpImageOptions, imageHeaders } from '../../sources/http/image-options.ts'
import type { ImageProbe } from '../../sources/http/probe.ts'
import { createRangeReader } from '../../sources/http/range-reader.ts'
import { RangeUnsupportedError } from '../../sources/range-reader.ts'
import type { Metainfo } from '../../sources/swarm/torrent/metainfo.ts'
import { detectFormat, SNIFFED_BYTES } from '../formats/image-format.ts'
import type { ClusterMap } from '../formats/qcow2/straight/cluster-map.ts'
import { isInOrder } from '../formats/unpackers.ts'
import { chooseHash, type ExpectedHash, hashFromChecksumFile } from '../request/checksum.ts'
import type { ImageInfo } from '../request/image-info.ts'
import { findClusters } from './cluster-facts.ts'
import { askForSize } from './image-size.ts'
import { findPackedBeginning } from './packed-facts.ts'
import type { ImageAnswers } from './plan.ts'
import { fetchMetainfo } from './torrent-file.ts'

/** Checksum files list a release's images: kilobytes. */
const MAX_CHECKSUM_FILE_BYTES = MiB

/** The beginning of an image of which a server has just told the size, ms. */
const FIRST_BYTES_MS = 60_000

type FactsConfig = Pick<Config, 'md5_enabled' | 'swarm_mode'>

/** What every question needs. */
interface Inquiry {
  readonly imageInfo: ImageInfo
  readonly http: HttpImageOptions
  readonly config: FactsConfig
  readonly signal: AbortSignal
  readonly warnings: string[]
}

/** What others have to say while servers are asked. */
export interface FactsListener {
  /** Hears what is known, each time before more is asked for, and may throw. */
  readonly check: (answers: ImageAnswers) => void
  /** Of a qcow2: whether nothing more need be asked for (planClusters). */
  readonly goesStraight: (map: ClusterMap) => boolean
}

const NO_LISTENER: FactsListener = { check: () => undefined, goesStraight: () => false }

/**
 * Asks. Throws InvalidImage for a qcow2 whose tables are damaged; ImageChecksumError when no hash is to be had; with swarm_mode `require` whatever kept
 * the torrent away; without a torrent whatever kept the origin away, because nobody else has the image.
 */
export async function gatherImageFacts(
  imageInfo: ImageInfo,
  http: HttpImageOptions,
  config: FactsConfig,
  signal: AbortSignal,
  { check, goesStraight } = NO_LISTENER,
): Promise<ImageAnswers> {
  const warnings: string[] = []
  const inquiry: Inquiry = { imageInfo, http, config, signal, warnings }
  const hash = await findExpectedHash(imageInfo, http, config, signal)
  const metainfo = await torrentOf(inquiry)
  const probe = await probeOf(inquiry, metainfo !== null)
  const serverBytes = probe?.sizeBytes ?? null
  const nothing = { firstBytes: null, packedBeginning: null, clusters: null }
  const known = { hash, serverBytes, metainfo, ...nothing, warnings }
  check(known)
  const firstBytes = await firstBytesOf(inquiry, probe)
  check({ ...known, firstBytes })
  const packedBeginning = await packedBeginningOf(inquiry, probe, firstBytes)
  const answers = { ...known, firstBytes, packedBeginning }
  check(answers)
  return { ...answers, clusters: await clustersOf(inquiry, probe, firstBytes, goesStraight) }
}

/** Null for what is no packed file. */
async function packedBeginningOf(
  inquiry: Inquiry,
  probe: ImageProbe | undefined,
  firstBytes: Uint8Array | null,
): Promise<Uint8Array | null> {
  const format = firstBytes && detectFormat(firstBytes)
  if (!probe || !format || !isInOrder(format)) return null
  const find = () =>
    findPackedBeginning({
      format,
      firstBytes,
      fileBytes: probe.sizeBytes,
      readFirst: (length) => readFirstBytes(inquiry, probe, length),
      signal: inquiry.signal,
    })
  const what = 'what is packed in the file cannot be told before it is unpacked'
  return (await orWarning(inquiry, what, find)) ?? null
}

/** Null for what is no qcow2. */
async function clustersOf(
  { http, signal }: Inquiry,
  probe: ImageProbe | undefined,
  firstBytes: Uint8Array | null,
  goesStraight: FactsListener['goesStraight'],
): Promise<ImageAnswers['clusters']> {
  if (!firstBytes || detectFormat(firstBytes) !== 'qcow2') return null
  if (!probe?.sizeBytes) return { why: 'its server does not say how long the file is' }
  if (!probe.acceptsRanges && !probe.url.startsWith('file:')) {
    return { why: 'its server gives no parts of it (Range)' }
  }
  return await findClusters({
    url: probe.url,
    http,
    fileBytes: probe.sizeBytes,
    firstBytes,
    signal,
    goesStraight,
  })
}

/**
 * What image_info says the image must hash to. Asks a server only where a url stands for the hash. Throws
 * ImageChecksumError when no hash is to be had, and what keeps the checksum file away.
 */
export async function findExpectedHash(
  imageInfo: ImageInfo,
  http: HttpImageOptions,
  config: Pick<Config, 'md5_enabled'>,
  signal: AbortSignal,
): Promise<ExpectedHash> {
  const choice = chooseHash(imageInfo, config.md5_enabled)
  if (choice.kind === 'value') return choice.hash
  const options = { ...http, url: choice.url, maxBytes: MAX_CHECKSUM_FILE_BYTES }
  const text = new TextDecoder().decode(await fetchSmall(options, signal))
  const [imageUrl] = imageInfo.urls as [string]
  return hashFromChecksumFile(text, imageUrl, choice.algo, config.md5_enabled)
}

async function torrentOf(inquiry: Inquiry): Promise<Metainfo | null> {
  const { torrent } = inquiry.imageInfo
  const mode = inquiry.config.swarm_mode
  if (!torrent || mode === 'off') return null
  const fetch = () => fetchMetainfo(torrent, inquiry.http, inquiry.signal)
  return mode === 'require'
    ? await fetch()
    : ((await orWarning(inquiry, 'no swarm', fetch)) ?? null)
}

async function probeOf(inquiry: Inquiry, hasTorrent: boolean): Promise<ImageProbe | undefined> {
  const ask = () => askForSize(inquiry.http, inquiry.signal, hasTorrent)
  return hasTorrent ? await orWarning(inquiry, 'the origin does not answer', ask) : await ask()
}

/**
 * The beginning of the image, whatever disk_format says (contract 5.3.6): packed bytes and partition images
 * are refused while the disk still holds what it held. Null where nobody could be asked: then they are looked
 * at as soon as they arrive.
 */
async function firstBytesOf(
  inquiry: Inquiry,
  probe: ImageProbe | undefined,
): Promise<Uint8Array | null> {
  if (!probe) return null
  const read = () => readFirstBytes(inquiry, probe, SNIFFED_BYTES)
  return (await orWarning(inquiry, 'the first bytes were not to be had', read)) ?? null
}

async function readFirstBytes(
  { http, signal }: Inquiry,
  { url, sizeBytes, acceptsRanges }: ImageProbe,
  mostBytes: number,
): Promise<Uint8Array> {
  if (url.startsWith('file:')) return await readFirstOfFile(url, mostBytes)
  const patience = AbortSignal.any([signal, AbortSignal.timeout(FIRST_BYTES_MS)])
  if (acceptsRanges && sizeBytes) {
    const target = new Uint8Array(Math.min(mostBytes, sizeBytes))
    const reader = createRangeReader({ ...http, totalBytes: sizeBytes })
    try {
      await reader.readRange({ offset: 0, length: target.length }, target, patience)
      return target
    } catch (error) {
      // another replica may refuse what the first one took
      if (!(error instanceof RangeUnsupportedError)) throw error
    }
  }
  const parts: Uint8Array[] = []
  let missing = mostBytes
  let stop = () => {}
  await http.client.stream(
    url,
    {
      headers: imageHeaders(http, url),
      signal: patience,
      readTimeoutMs: http.config.image_download_connection_timeout * 1000,
    },
    {
      onHead: (head, flow) => {
        judgeHead(head, undefined)
        stop = () => flow.stop()
      },
      onBytes: (bytes) => {
        if (missing === 0) return
        parts.push(bytes.slice(0, missing))
        missing -= Math.min(missing, bytes.length)
        if (missing === 0) stop()
      },
    },
  )
  return Buffer.concat(parts)
}

/** The value, or undefined and a warning. An abort, and what only the operator can mend, is thrown. */
async function orWarning<T>(
  { warnings, signal }: Inquiry,
  what: string,
  get: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await get()
  } catch (error) {
    if (signal.aborted || (isAgentError(error) && error.kind === 'operator')) throw error
    warnings.push(`${what}: ${messageOf(error)}`)
    return undefined
  }
}
