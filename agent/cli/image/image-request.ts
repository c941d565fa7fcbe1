// SPDX-License-Identifier: Apache-2.0
// Owns which image goes to which device, as write and plan are told: by flags and words, or by a file with image_info.
// The checks of image_info are image/'s; what flags make of it is image-flags.ts's.
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AgentError, messageOf } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { parseWriteRequest, type WriteRequest, withNode } from '../../deploy/write-request.ts'
import { assertNotReadOnly, openBlockDevice } from '../../disk/block-device.ts'
import { readGeometry } from '../../disk/geometry.ts'
import { assertNotInUse } from '../../disk/in-use.ts'
import { assertApart } from '../../disk/same-storage.ts'
import { unknownFields } from '../../image/request/known-fields.ts'
import type { Root } from '../../system/root.ts'
import type { CommandLine, Context } from '../command-line.ts'
import { readInputText } from '../input-file.ts'
import { IMAGE_FLAGS, imageInfoOfFlags, parseJsonFile, usage } from './image-flags.ts'

export interface ImageRequest extends WriteRequest {
  readonly devicePath: string
}

/**
 * Reads what the words and flags of write, plan and verify name.
 * @param use what will be done with the device, which is looked at before a file is hashed
 * @throws InvalidCommandParamsError for a file that is missing, no JSON, or no usable image_info; for words that do not
 *   say which image or which device
 */
export async function readImageRequest(
  line: CommandLine,
  command: Command,
  { loaded: { config }, root, log }: Context,
  use: 'write' | 'read' = 'write',
): Promise<ImageRequest> {
  const { image, devicePath } = await wordsOf(command)
  const configdrive = await configdriveOf(command)
  const judge = async () => {
    if (use === 'read') return await assertReadable(root, devicePath)
    await assertWritable(root, devicePath)
    if (image !== undefined && !isUrl(image)) {
      await assertApart(root, resolve(image), devicePath)
    }
  }
  const value = await imageInfoOf(line, command, image, judge)
  const request = parseWriteRequest(value, configdrive, config, 'http or file')
  for (const { name, meant } of unknownFields(isObject(value) ? value : {})) {
    const hint = meant === null ? '' : `; did you mean ${meant}?`
    log.warn({ warning: `nothing reads "${name.slice(0, 64)}"${hint}` }, 'image_info')
  }
  return { ...withNode(request, undefined, config), devicePath }
}

async function configdriveOf(command: Command): Promise<string | undefined> {
  const path = command.getOptionValue('configdrive') as string | undefined
  return path === undefined ? undefined : (await readInputText(path, 'a config drive')).trim()
}

/** `[IMAGE] DEVICE`; the device may come by its flag instead. Throws InvalidCommandParamsError. */
export async function wordsOf(
  command: Command,
): Promise<{ readonly image: string | undefined; readonly devicePath: string }> {
  const flag = command.getOptionValue('device') as string | undefined
  const words = flag === undefined ? [...command.args] : [...command.args, flag]
  const device = words.pop()
  if (device === undefined) {
    throw usage('no DEVICE is named: give it as the last word, for example /dev/sdX')
  }
  if (words.length > 1) {
    throw usage(`${command.args.length} words, but an image and a device are two`)
  }
  const [image] = words
  const devicePath = resolve(device)
  if (image !== undefined && !isUrl(image)) await refuseSwapped(resolve(image), devicePath)
  return { image, devicePath }
}

/**
 * What write asks of the device before anything else: known before a file is read for its digest, which takes long.
 * Throws DeviceNotFound, TargetInUseError, BlockDeviceError.
 */
export async function assertWritable(root: Root, devicePath: string): Promise<void> {
  await readGeometry(root, devicePath)
  await assertNotInUse(root, devicePath)
  await assertNotReadOnly(root, devicePath)
  await access(devicePath, constants.R_OK | constants.W_OK).catch((cause: unknown) => {
    const details = `cannot open ${devicePath}: ${messageOf(cause)}`
    throw new AgentError('BlockDeviceError', details, { cause })
  })
}

/** The same for verify. Throws DeviceNotFound, BlockDeviceError. */
async function assertReadable(root: Root, devicePath: string): Promise<void> {
  await using _device = await openBlockDevice(devicePath, { mode: 'read', root })
}

export function isUrl(word: string): boolean {
  return /^https?:\/\//i.test(word)
}

/** `write /dev/sdX image.raw` would write the disk over the image. */
async function refuseSwapped(image: string, device: string): Promise<void> {
  const [from, to] = await Promise.all([image, device].map((path) => stat(path).catch(() => null)))
  if (from?.isBlockDevice() && to?.isFile()) {
    throw usage(`${image} is a device and ${device} a file; the image comes first, then the device`)
  }
}

async function imageInfoOf(
  line: CommandLine,
  command: Command,
  image: string | undefined,
  judge: () => Promise<void>,
): Promise<unknown> {
  const file = command.getOptionValue('imageInfo') as string | undefined
  const urls = (command.getOptionValue('url') as string[] | undefined) ?? []
  const named = [file, urls[0], image].filter((name) => name !== undefined)
  if (named.length !== 1) {
    const what = named.length === 0 ? 'nothing says which image' : `${named.join(' and ')}: which?`
    throw usage(`${what}; give one of --url, --image-info, or the image before the device`)
  }
  if (file === undefined) return await imageInfoOfFlags(line, command, image ?? urls, judge)
  const beside = IMAGE_FLAGS.find((name) => command.getOptionValueSource(name) === 'cli')
  if (beside !== undefined) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `--${beside} beside --image-info: put it into ${file}, or leave that out and give --url`,
    )
  }
  return inner(await parseJsonFile(file))
}

/** Accepts the bare image_info and the params of a recorded command around it. */
function inner(value: unknown): unknown {
  return isObject(value) && isObject(value['image_info'])
    ? (value['image_info'] as JsonObject)
    : value
}
