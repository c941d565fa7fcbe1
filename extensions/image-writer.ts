// SPDX-License-Identifier: Apache-2.0
// Owns image writes as Ironic asks for them: one at a time, on the root disk, and what is known of the
// last one. Does not write; agent/image does.
import { AgentError } from '../agent/core/errors.ts'
import type { Progress } from '../agent/core/events.ts'
import { isObject, type JsonObject } from '../agent/core/json.ts'
import {
  type ImageInfo,
  imageInfoContext,
  parseImageInfo,
} from '../agent/image/request/image-info.ts'
import type { ExtensionDeps, WrittenImage } from './deps.ts'
import { invalidParams } from './params.ts'

export interface WriteContext {
  readonly signal: AbortSignal
  progress(progress: Progress): void
}

export interface ImageWriter {
  /** Throws InvalidCommandParamsError for an image_info or config drive nobody can use. */
  check(imageInfo: unknown, configdrive: unknown): void
  /**
   * Writes the image to the root disk and resolves to the sentence of contract 5.2. Throws AgentIsBusy
   * while another write runs. An image of the same id is written again: an id says nothing of content.
   */
  write(
    imageInfo: unknown,
    configdrive: unknown,
    node: JsonObject | undefined,
    context: WriteContext,
  ): Promise<string>
  /** The image on the disk; undefined from the start of a write until it has succeeded. */
  lastWritten(): WrittenImage | undefined
  /** Ends the seeding of that image and forgets it: its disk is about to be erased. */
  release(reason: string): Promise<void>
  /** Progress of the write that runs, or of the last one. */
  lastProgress(): Progress | undefined
}

/** A writer that has written nothing yet. */
export function createImageWriter(deps: ExtensionDeps): ImageWriter {
  let isWriting = false
  let written: WrittenImage | undefined
  let progress: Progress | undefined

  const parse = (value: unknown, node: JsonObject | undefined): ImageInfo =>
    parseImageInfo(value, imageInfoContext(deps.config, node))

  const writeNow: ImageWriter['write'] = async (value, configdrive, node, context) => {
    const imageInfo = parse(value, node)
    const drive = configdriveOf(value, configdrive)
    const disk = await deps.hardware.dispatch('getOsInstallDevice', node)
    // The disk is about to lose what is being served from it, and is held open by the seeding.
    await deps.seeding.release('next deploy')
    written = undefined
    const image = await deps.deployImage({
      imageInfo,
      configdrive: drive,
      ...(node ? { node } : {}),
      devicePath: disk.name,
      signal: context.signal,
      onProgress: (news) => {
        progress = news
        context.progress(news)
      },
    })
    written = image
    if (image.seeding) await deps.seeding.hold(image.seeding)
    return `image (${image.imageId}) written to device ${image.device} root_uuid=${image.rootUuid ?? 'None'}`
  }

  return {
    check: (imageInfo, configdrive) => {
      parse(imageInfo, deps.nodeCache.current())
      configdriveOf(imageInfo, configdrive)
    },
    write: async (...args) => {
      if (isWriting) throw new AgentError('AgentIsBusy', 'another image is being written')
      isWriting = true
      try {
        return await writeNow(...args)
      } finally {
        isWriting = false
      }
    },
    release: async (reason) => {
      await deps.seeding.release(reason)
      written = undefined
    },
    lastWritten: () => written,
    lastProgress: () => progress,
  }
}

/** The argument, else the one inside of image_info (contract 5.2 step 1); empty means none. */
function configdriveOf(imageInfo: unknown, argument: unknown): string | null {
  const inner = isObject(imageInfo) ? imageInfo['configdrive'] : undefined
  const value = argument ?? inner ?? null
  if (value === null || value === '') return null
  if (typeof value === 'string') return value
  throw invalidParams('configdrive must be a url or base64 text of a gzipped image')
}
