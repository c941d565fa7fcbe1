// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm verify`: reads a device and compares it with the hash of image_info. Writes nothing.
import type { Command } from 'commander'
import { oneLine } from '../../core/cut-text.ts'
import { AgentError } from '../../core/errors.ts'
import { formatDuration, parseBytes } from '../../core/units.ts'
import { type BlockDevice, openBlockDevice } from '../../disk/block-device.ts'
import { detectFormat } from '../../image/formats/image-format.ts'
import { createRawLayout } from '../../image/formats/raw.ts'
import { isUnpacked } from '../../image/formats/unpackers.ts'
import { findExpectedHash, gatherImageFacts } from '../../image/plan/image-facts.ts'
import { openImageServers } from '../../image/plan/image-sources.ts'
import { type GuessedRange, guessOriginalHead } from '../../image/proof/original-head.ts'
import { createReadBack } from '../../image/proof/read-back.ts'
import { chooseHash, type ExpectedHash } from '../../image/request/checksum.ts'
import { type ImageInfo, isHttpUrl } from '../../image/request/image-info.ts'
import { createProgressMeter, type ProgressMeter } from '../../telemetry/progress-meter.ts'
import { type CommandLine, type Context, openContext } from '../command-line.ts'
import { CommandFailure } from '../failure.ts'
import { logFor, openScreen } from '../terminal/screen.ts'
import { hashFlag } from './image-flags.ts'
import { readImageRequest, wordsOf } from './image-request.ts'

interface Verified {
  readonly hash: ExpectedHash
  readonly sizeBytes: number
  /** True if the disk is the image but for a partition table that was fitted to the disk. */
  readonly isFitted: boolean
}

/** What the device is compared with. */
interface Expected {
  /** How the image is called. */
  readonly name: string
  readonly hash: ExpectedHash
  readonly sizeBytes: number
}

/**
 * Compares. The length of the image comes from --length, and then nobody is asked (a url that stands for the
 * hash excepted); else from its server or torrent.
 * @throws CommandFailure with ReadBackMismatchError (exit code 3) if the disk does not hold the image
 */
export async function runVerify(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  using screen = openScreen(line, { isJson })
  const context = await openContext(line, command, logFor(screen, isJson))
  const startedAt = performance.now()
  try {
    const { devicePath } = await wordsOf(command)
    const expected = await expectedBy(line, command, context)
    using meter = createProgressMeter({ now: () => performance.now(), events: line.events })
    await using device = await openBlockDevice(devicePath, {
      mode: 'read',
      root: context.root,
      timeoutMs: context.loaded.config.disk_timeout * 1000,
    })
    const verified = await verify(line, expected, device, meter)
    screen[Symbol.dispose]()
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10
    line.stdout.write(
      isJson ? report(verified, seconds) : summary(devicePath, expected, verified, seconds),
    )
  } catch (error) {
    throw new CommandFailure(error, { verified: false })
  }
}

async function verify(
  line: CommandLine,
  { hash, sizeBytes }: Expected,
  device: BlockDevice,
  meter: ProgressMeter,
): Promise<Verified> {
  const { path, sizeBytes: deviceBytes } = device.geometry
  if (sizeBytes > deviceBytes) {
    throw new AgentError(
      'ReadBackMismatchError',
      `${path} has ${deviceBytes} bytes, the image ${sizeBytes}: it cannot be there`,
    )
  }
  const digest = (held: readonly GuessedRange[]) =>
    hashDevice(device, { algo: hash.algo, sizeBytes, held, meter, signal: line.signal })
  const found = await digest([])
  if (found === hash.value) return { hash, sizeBytes, isFitted: false }
  const guess = await guessOriginalHead(device, sizeBytes)
  if (guess.length > 0 && (await digest(guess)) === hash.value) {
    return { hash, sizeBytes, isFitted: true }
  }
  throw new AgentError(
    'ReadBackMismatchError',
    `${hash.algo} of ${path} bytes 0–${sizeBytes - 1} is ${found}, it should be ${hash.value}; ` +
      'write the image again, and suspect the disk if that does not help',
  )
}

/** A hash and a length say all: no image need be named. Throws InvalidCommandParamsError, and what keeps servers away. */
async function expectedBy(
  line: CommandLine,
  command: Command,
  context: Context,
): Promise<Expected> {
  const { config } = context.loaded
  const given = lengthFlag(command)
  const osHash = hashFlag(command)
  const isNamed =
    command.args.length > 1 || ['url', 'imageInfo'].some((flag) => isGiven(command, flag))
  if (!isNamed && given !== undefined && osHash && !isHttpUrl(osHash.value)) {
    const choice = chooseHash({ osHash, checksum: null }, config.md5_enabled)
    if (choice.kind === 'value') return { name: 'the image', hash: choice.hash, sizeBytes: given }
  }
  const { imageInfo } = await readImageRequest(line, command, context, 'read')
  return { name: imageInfo.id, ...(await askedFor(line, context, imageInfo, given)) }
}

function isGiven(command: Command, flag: string): boolean {
  return command.getOptionValue(flag) !== undefined
}

function lengthFlag(command: Command): number | undefined {
  const length = command.getOptionValue('length') as string | undefined
  if (length === undefined) return undefined
  const given = parseBytes(length)
  if (given) return given
  throw new AgentError(
    'InvalidCommandParamsError',
    `--length is "${length}"; give bytes, for example 268435456 or 256M`,
  )
}

async function askedFor(
  line: CommandLine,
  { loaded: { config }, log }: Context,
  imageInfo: ImageInfo,
  given: number | undefined,
): Promise<{ hash: ExpectedHash; sizeBytes: number }> {
  const { signal } = line
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
  // nothing was read, and its digest would agree
  if (sizeBytes === 0) throw new AgentError('InvalidImage', `image ${imageInfo.id} is empty`)
  return { hash: facts.hash, sizeBytes }
}

interface HashRequest {
  readonly algo: string
  readonly sizeBytes: number
  /** What the disk has otherwise than the image, as it would be in the image. */
  readonly held: readonly GuessedRange[]
  readonly meter: ProgressMeter
  readonly signal: AbortSignal
}

async function hashDevice(
  device: BlockDevice,
  { algo, sizeBytes, held, meter, signal }: HashRequest,
): Promise<string> {
  meter.begin('read-back', sizeBytes)
  await using readBack = createReadBack({
    device,
    algo,
    layout: createRawLayout(sizeBytes, { offset: 0, length: device.geometry.sizeBytes }),
    onProgress: (bytes) => meter.add(bytes),
  })
  return await readBack.finish(sizeBytes, held, signal)
}

function report({ hash, sizeBytes, isFitted }: Verified, seconds: number): string {
  const object = { verified: true, hash, seconds, size_bytes: sizeBytes, table_fitted: isFitted }
  return `${JSON.stringify(object)}\n`
}

function summary(path: string, { name }: Expected, verified: Verified, seconds: number): string {
  const but = verified.isFitted ? ', its partition table fitted to the disk' : ''
  const { algo, value } = verified.hash
  return (
    `${path} holds ${oneLine(name)}${but}: ${verified.sizeBytes} bytes, ` +
    `${algo} ${value}, read in ${formatDuration(seconds)}\n`
  )
}
