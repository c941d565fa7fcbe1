// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm torrent create` and `torrent show`. What a .torrent may be is swarm/torrent/metainfo.ts's.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { oneLine } from '../../core/cut-text.ts'
import { AgentError } from '../../core/errors.ts'
import { formatBytes, parseBytes } from '../../core/units.ts'
import { readGeometry } from '../../disk/geometry.ts'
import { packTorrent } from '../../image/formats/seekable/pack-torrent.ts'
import { isHttpUrl } from '../../image/request/image-info.ts'
import { createTorrent, requirePieceLength } from '../../sources/swarm/torrent/create-torrent.ts'
import type { Metainfo } from '../../sources/swarm/torrent/metainfo.ts'
import { isTrackerUrl } from '../../sources/swarm/torrent/trackers.ts'
import { checkNewFile, writeNewFile } from '../../system/new-file.ts'
import { createRoot, type Root } from '../../system/root.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'
import type { CommandLine } from '../command-line.ts'
import { requireReadable } from '../input-file.ts'
import { openScreen } from '../terminal/screen.ts'
import { readTorrentFile } from './torrent-file.ts'

/**
 * Hashes the image, or packs it and hashes that, and writes the .torrent; nothing else has to be installed for it.
 * Every flag and file is checked before the first byte is read.
 */
export async function runTorrentCreate(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  const output = String(command.getOptionValue('output'))
  const root = createRoot('/')
  using screen = openScreen(line, { isJson })
  const place = { output, root }
  if (command.getOptionValue('zstd') === undefined) {
    const metainfo = await makeTorrent(line, command, place)
    screen[Symbol.dispose]()
    line.stdout.write(isJson ? toJson(metainfo) : `${output}: ${toText(metainfo)}`)
    return
  }
  const { metainfo, imageBytes } = await makePackedTorrent(line, command, place)
  screen[Symbol.dispose]()
  const packed = {
    zstd: String(command.getOptionValue('zstd')),
    image_length_bytes: imageBytes,
  }
  line.stdout.write(
    isJson
      ? toJson(metainfo, packed)
      : `${packed.zstd}: ${imageBytes} bytes (${formatBytes(imageBytes)}) of image, ` +
          `${(imageBytes / metainfo.lengthBytes).toFixed(2)} × its own length\n${output}: ${toText(metainfo)}`,
  )
}

/** Prints what a .torrent says. @throws InvalidCommandParamsError, InvalidMetainfoError */
export async function runTorrentShow(line: CommandLine, command: Command): Promise<void> {
  const flag = command.getOptionValue('torrent') as string | undefined
  const [path, ...more] = [...command.args, ...(flag === undefined ? [] : [flag])]
  if (path === undefined) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'no .torrent is named: ironswarm torrent show FILE',
    )
  }
  if (more.length > 0) {
    throw new AgentError('InvalidCommandParamsError', `${[path, ...more].join(' and ')}: which?`)
  }
  const { metainfo } = await readTorrentFile(path)
  line.stdout.write(command.getOptionValue('json') ? toJson(metainfo) : toText(metainfo))
}

/** Where a .torrent goes, and where its making shows. */
export interface TorrentPlace {
  readonly output: string
  readonly root: Root
}

/**
 * Makes the torrent of --path and writes it to `output`.
 * @throws InvalidCommandParamsError for flags and for an output that writeNewFile refuses, InvalidConfigError for a shape no torrent may have
 */
export async function makeTorrent(
  line: CommandLine,
  command: Command,
  { output, root }: TorrentPlace,
): Promise<Metainfo> {
  const path = String(command.getOptionValue('path'))
  const isForced = command.getOptionValue('force') === true
  const flags = torrentFlags(command)
  const file = { path: output, madeFrom: path, isForced }
  await checkNewFile(root, file)
  const lengthBytes = await lengthOf(command, path, root)
  using meter = createProgressMeter({ now: () => performance.now(), events: line.events })
  meter.begin('hash', lengthBytes)
  let reportedBytes = 0
  const { torrentFile, metainfo } = await createTorrent({
    image: { path },
    lengthBytes,
    ...flags,
    signal: line.signal,
    onProgress: (doneBytes) => {
      meter.add(doneBytes - reportedBytes, 'file')
      reportedBytes = doneBytes
    },
  })
  await writeNewFile(root, file, torrentFile)
  return metainfo
}

/** --length, which the image must have, else all of it. Throws InvalidCommandParamsError. */
async function lengthOf(command: Command, path: string, root: Root): Promise<number> {
  const asked = bytesFlag(command, 'length')
  await requireReadable(path)
  const { sizeBytes } = await readGeometry(root, path)
  if (asked === undefined || asked <= sizeBytes) return asked ?? sizeBytes
  throw new AgentError(
    'InvalidCommandParamsError',
    `${path} has ${sizeBytes} bytes, --length asks for ${asked}`,
  )
}

/**
 * Packs --path into the file of --zstd, makes its torrent, and writes that to `output`.
 * @throws what makeTorrent throws, and packTorrent
 */
async function makePackedTorrent(
  line: CommandLine,
  command: Command,
  { output, root }: TorrentPlace,
): Promise<{ readonly metainfo: Metainfo; readonly imageBytes: number }> {
  const path = String(command.getOptionValue('path'))
  const zstd = String(command.getOptionValue('zstd'))
  const isForced = command.getOptionValue('force') === true
  const flags = torrentFlags(command)
  await lengthOf(command, path, root)
  const file = { path: zstd, madeFrom: path, isForced }
  const torrent = { path: output, madeFrom: zstd, isForced }
  if (resolve(output) === resolve(zstd)) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `--zstd and --output are both ${zstd}; the packed image and its .torrent are two files`,
    )
  }
  await checkNewFile(root, file)
  await checkNewFile(root, { ...torrent, madeFrom: path })
  await checkNewFile(root, torrent)
  line.events.publish({ type: 'plan', stages: ['pack', 'hash'] })
  using meter = createProgressMeter({ now: () => performance.now(), events: line.events })
  let reportedBytes = 0
  const { torrentFile, metainfo, imageBytes } = await packTorrent(root, {
    path,
    imageBytes: bytesFlag(command, 'length'),
    file,
    ...flags,
    signal: line.signal,
    onStep: (step, totalBytes) => {
      reportedBytes = 0
      meter.begin(step, totalBytes)
    },
    onProgress: (doneBytes) => {
      meter.add(doneBytes - reportedBytes, 'file')
      reportedBytes = doneBytes
    },
  })
  await writeNewFile(root, torrent, torrentFile)
  return { metainfo, imageBytes }
}

/** The values of --tracker. @throws InvalidCommandParamsError */
export function trackerFlags(command: Command): string[] {
  const urls = (command.getOptionValue('tracker') as string[] | undefined) ?? []
  const wrong = urls.find((url) => !isTrackerUrl(url))
  if (wrong === undefined) return urls
  throw new AgentError(
    'InvalidCommandParamsError',
    `--tracker is "${wrong}"; give the announce URL, for example http://tracker:6969/announce`,
  )
}

function webSeedFlags(command: Command): string[] {
  const urls = (command.getOptionValue('webSeed') as string[] | undefined) ?? []
  const wrong = urls.find((url) => !isHttpUrl(url) || !URL.canParse(url))
  if (wrong === undefined) return urls
  throw new AgentError(
    'InvalidCommandParamsError',
    `--web-seed is "${wrong}"; give the image's URL, for example http://host/debian.raw`,
  )
}

function torrentFlags(command: Command) {
  const pieceLength = bytesFlag(command, 'pieceLength')
  if (pieceLength !== undefined) requirePieceLength(pieceLength)
  return {
    pieceLength,
    trackers: trackerFlags(command),
    webSeeds: webSeedFlags(command),
  }
}

function bytesFlag(command: Command, attribute: string): number | undefined {
  const text = command.getOptionValue(attribute) as string | undefined
  if (text === undefined) return undefined
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes > 0) return bytes
  throw new AgentError(
    'InvalidCommandParamsError',
    `"${text}" is no number of bytes; write for example 268435456, 256M or 4MiB`,
  )
}

function toJson(metainfo: Metainfo, packed: Readonly<Record<string, unknown>> = {}): string {
  const object = {
    name: metainfo.name,
    info_hash: metainfo.infoHash,
    length_bytes: metainfo.lengthBytes,
    piece_length: metainfo.pieceLength,
    piece_count: metainfo.pieceCount,
    is_private: metainfo.isPrivate,
    trackers: metainfo.trackers,
    web_seeds: metainfo.webSeeds,
    ...packed,
  }
  return `${JSON.stringify(object)}\n`
}

function toText(metainfo: Metainfo): string {
  const { lengthBytes, pieceLength, pieceCount } = metainfo
  return [
    metainfo.name,
    `info-hash  ${metainfo.infoHash}`,
    `length     ${lengthBytes} bytes (${formatBytes(lengthBytes)})`,
    `pieces     ${pieceCount} of ${formatBytes(pieceLength)}`,
    ...(metainfo.isPrivate ? ['private    peers come from the trackers alone'] : []),
    ...metainfo.trackers.map((tier, index) => `tracker    tier ${index + 1}: ${tier.join(', ')}`),
    ...metainfo.webSeeds.map((url) => `web seed   ${url}`),
    '',
  ]
    .map(oneLine)
    .join('\n')
}
