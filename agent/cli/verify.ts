// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm verify`: reads a device and compares it with the hash of image_info. Writes nothing.
import type { Command } from 'commander'
import { AgentError, toAgentError } from '../core/errors.ts'
import { formatDuration, parseBytes } from '../core/units.ts'
import { type BlockDevice, openBlockDevice } from '../disk/block-device.ts'
import { detectFormat } from '../image/formats/image-format.ts'
import { createRawLayout } from '../image/formats/raw.ts'
import { isUnpacked } from '../image/formats/unpackers.ts'
import { findExpectedHash, gatherImageFacts } from '../image/plan/image-facts.ts'
import { openImageServers } from '../image/plan/image-sources.ts'
import { type GuessedRange, guessOriginalHead } from '../image/proof/original-head.ts'
import { createReadBack } from '../image/proof/read-back.ts'
import type { ExpectedHash } from '../image/request/checksum.ts'
import { createProgressMeter, type ProgressMeter } from '../telemetry/progress-meter.ts'
import { type CommandLine, type Context, openContext } from './command-line.ts'
import { type ImageRequest, readImageRequest } from './image-request.ts'
import { openProgress } from './progress-view.ts'

interface Verified {
  readonly hash: ExpectedHash
  readonly sizeBytes: number
  /** True if the disk is the image but for a partition table that was fitted to the disk. */
  readonly isFitted: boolean
}

/**
 * Compares. The length of the image comes from --length, and then nobody is asked (a url that stands for the
 * hash excepted); else from its server or torrent.
 * @throws ReadBackMismatchError (exit code 3) if the disk does not hold the image
 */
export async function runVerify(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  const context = await openContext(line, command, { reader: isJson ? 'program' : 'person' })
  using view = openProgress(line, isJson)
  const startedAt = performance.now()
  using meter = createProgressMeter({ now: () => performance.now(), events: line.events })
  try {
    const request = await readImageRequest(command, context.loaded.config)
    await using device = await openBlockDevice(request.devicePath, {
      mode: 'read',
      root: context.root,
      timeoutMs: context.loaded.config.disk_timeout * 1000,
    })
    const length = command.getOptionValue('length') as string | undefined
    const verified = await verify(line, context, request, { device, length, meter })
    view[Symbol.dispose]()
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10
    line.stdout.write(isJson ? report(verified, seconds) : summary(request, verified, seconds))
  } catch (error) {
    view[Symbol.dispose]()
    if (isJson) {
      const failure = { verified: false, error: toAgentError(error).toWire() }
      line.stdout.write(`${JSON.stringify(failure)}\n`)
    }
    throw error
  }
}

async function verify(
  line: CommandLine,
  context: Context,
  request: ImageRequest,
  {
    device,
    length,
    meter,
  }: { device: BlockDevice; length: string | undefined; meter: ProgressMeter },
): Promise<Verified> {
  const { hash, sizeBytes } = await expected(line, context, request, length)
  const { path, sizeBytes: deviceBytes } = device.geometry
  if (sizeBytes > deviceBytes) {
    throw new AgentError(
      'ReadBackMismatchError',
      `${path} has ${deviceBytes} bytes, the image ${sizeBytes}: it cannot be there`,
    )
  }
  const digest = (held: readonly GuessedRange[]) =>
    hashDevice(device, hash.algo, sizeBytes, held, meter, line.signal)
  const found = await digest([])
  if (found === hash.value) return { hash, sizeBytes, isFitted: false }
  const guess = await guessOriginalHead(device, sizeBytes)
  if (guess.length > 0 && (await digest(guess)) === hash.value) {
    return { hash, sizeBytes, isFitted: true }
  }
  throw new AgentError(
    'ReadBackMismatchError',
    `${hash.algo} of ${path} bytes 0–${sizeBytes - 1} is ${found}, image_info says ${hash.value}; ` +
      'write the image again, and suspect the disk if that does not help',
  )
}

async function expected(
  line: CommandLine,
  { loaded, log }: Context,
  { imageInfo }: ImageRequest,
  length: string | undefined,
): Promise<{ hash: ExpectedHash; sizeBytes: number }> {
  const { config } = loaded
  const { signal } = line
  const given = length === undefined ? undefined : parseBytes(length)
  if (length !== undefined && !given) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `--length is "${length}"; give bytes, for example 268435456 or 256M`,
    )
  }
  await using servers = openImageServers(imageInfo, { config, log, random: line.random })
  // a disk is proved by its own bytes: years later, and where the image's server is gone
  if (given !== undefined) {
    return {
      hash: await findExpectedHash(imageInfo, servers.http, config, signal),
      sizeBytes: given,
    }
  }
  const facts = await gatherImageFacts(imageInfo, servers.http, config, signal)
  const format = facts.firstBytes ? detectFormat(facts.firstBytes) : 'raw'
  if (isUnpacked(format)) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `the image is ${format}: its hash is that of the file, the disk holds what was unpacked from it. To verify the ` +
        'disk, give the hash of the raw image, and its length by --length',
    )
  }
  const sizeBytes = facts.serverBytes ?? facts.metainfo?.lengthBytes
  if (sizeBytes === undefined) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'nobody says how long the image is: its server does not answer; give --length',
    )
  }
  return { hash: facts.hash, sizeBytes }
}

async function hashDevice(
  device: BlockDevice,
  algo: string,
  totalBytes: number,
  held: readonly GuessedRange[],
  meter: ProgressMeter,
  signal: AbortSignal,
): Promise<string> {
  meter.begin('read-back', totalBytes)
  await using readBack = createReadBack({
    device,
    algo,
    layout: createRawLayout(totalBytes, { offset: 0, length: device.geometry.sizeBytes }),
    onProgress: (bytes) => meter.add(bytes),
  })
  return await readBack.finish(totalBytes, held, signal)
}

function report({ hash, sizeBytes, isFitted }: Verified, seconds: number): string {
  const object = { verified: true, hash, seconds, size_bytes: sizeBytes, table_fitted: isFitted }
  return `${JSON.stringify(object)}\n`
}

function summary(request: ImageRequest, verified: Verified, seconds: number): string {
  const but = verified.isFitted ? ', its partition table fitted to the disk' : ''
  const { algo, value } = verified.hash
  return (
    `${request.devicePath} holds ${request.imageInfo.id}${but}: ${verified.sizeBytes} bytes, ` +
    `${algo} ${value}, read in ${formatDuration(seconds)}\n`
  )
}
