// SPDX-License-Identifier: Apache-2.0
// Owns image writes as Ironic asks for them: one at a time, on the root disk, and what is known of the
// last one. Does not write; agent/image does.
import type { Config } from '../config/options.ts'
import { AgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'
import { uuidOf } from '../disk/partitioning/written-partitions.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import type { DeployedImage } from '../image/deploy-image.ts'
import type { Installation } from './bootc/install-container.ts'
import {
  type BootcRequest,
  instanceInfoOf,
  isContainer,
  parseContainerInfo,
} from './bootc/request.ts'
import type { SeedingKeeper } from './seeding-keeper.ts'
import type { WriteImageRequest } from './write-image.ts'
import { parseWriteRequest, type WriteRequest, withNode } from './write-request.ts'
import type { WrittenImage, WrittenImageRecord } from './written-image.ts'

/** What of a running command a write needs. */
export interface WriteContext {
  readonly signal: AbortSignal
  readonly events: EventPublisher
}

export interface ImageWriter {
  /**
   * Throws InvalidCommandParamsError for an image_info or config drive nobody can use.
   * @param node as it is known so far: a torrent that it names in vain is refused here rather than half-way
   */
  parse(imageInfo: unknown, configdrive: unknown, node?: JsonObject): WriteRequest | BootcRequest
  /**
   * Writes the image to the root disk and resolves to the sentence of contract 5.2. Throws AgentIsBusy
   * while another write runs. An image of the same id is written again: an id says nothing of content.
   */
  write(
    request: WriteRequest | BootcRequest,
    node: JsonObject | undefined,
    context: WriteContext,
  ): Promise<string>
  /**
   * The image on the disk, also one that an earlier process of this boot wrote; undefined from the start of a
   * write until it has succeeded.
   */
  lastWritten(): WrittenImage | undefined
  /** Ends the seeding of that image and forgets it: its disk is about to be erased. */
  release(reason: string): Promise<void>
}

export interface ImageWriterDeps {
  readonly config: Config
  readonly hardware: Pick<Hardware, 'dispatch'>
  readonly seeding: SeedingKeeper
  readonly record: WrittenImageRecord
  /** write-image.ts with its own dependencies filled in. */
  readonly writeImage: (request: WriteImageRequest) => Promise<DeployedImage>
  /** bootc/install-container.ts, likewise. */
  readonly installContainer: (request: Installation) => Promise<WrittenImage>
}

/** As ironic-python-agent says it (contract 5.2). */
function sentenceOf({ imageId, device, rootUuid, partitions }: WrittenImage): string {
  const esp = partitions?.bootMode === 'uefi' ? uuidOf(partitions, 'esp') : null
  const rest = esp === null ? '' : ` efi_system_partition_uuid=${esp}`
  return `image (${imageId}) written to device ${device} root_uuid=${rootUuid ?? 'None'}${rest}`
}

/** One for the whole agent: two would not see each other's writes. */
export function createImageWriter(deps: ImageWriterDeps): ImageWriter {
  return new Writer(deps)
}

class Writer implements ImageWriter {
  readonly #deps: ImageWriterDeps
  #isWriting = false

  constructor(deps: ImageWriterDeps) {
    this.#deps = deps
  }

  parse(imageInfo: unknown, configdrive: unknown, node?: JsonObject): WriteRequest | BootcRequest {
    if (isContainer(imageInfo)) {
      return parseContainerInfo(imageInfo, configdrive, instanceInfoOf(node))
    }
    const request = parseWriteRequest(imageInfo, configdrive, this.#deps.config)
    withNode(request, node, this.#deps.config)
    return request
  }

  async write(
    request: WriteRequest | BootcRequest,
    node: JsonObject | undefined,
    context: WriteContext,
  ): Promise<string> {
    if (this.#isWriting) throw new AgentError('AgentIsBusy', 'another image is being written')
    this.#isWriting = true
    try {
      return 'reference' in request
        ? await this.#install(request, node, context)
        : await this.#write(request, node, context)
    } finally {
      this.#isWriting = false
    }
  }

  lastWritten(): WrittenImage | undefined {
    return this.#deps.record.current()
  }

  async release(reason: string): Promise<void> {
    await this.#deps.seeding.release(reason)
    this.#deps.record.forget()
  }

  async #write(
    request: WriteRequest,
    node: JsonObject | undefined,
    { signal, events }: WriteContext,
  ): Promise<string> {
    const { hardware, record, config } = this.#deps
    const { imageInfo, configdrive } = withNode(request, node, config)
    const devicePath = (await hardware.dispatch('getOsInstallDevice', node)).name
    // the disk is about to lose what is being served from it, and is held open by the seeding
    await this.release('next deploy')
    const write = { imageInfo, configdrive, devicePath, signal, events }
    const { seeding, ...written } = await this.#deps.writeImage(write)
    record.set(written)
    if (seeding) await this.#deps.seeding.hold(seeding)
    return sentenceOf(written)
  }

  async #install(
    request: BootcRequest,
    node: JsonObject | undefined,
    { signal, events }: WriteContext,
  ): Promise<string> {
    const { hardware, record, installContainer } = this.#deps
    const devicePath = (await hardware.dispatch('getOsInstallDevice', node)).name
    await this.release('next deploy')
    record.set(await installContainer({ request, devicePath, signal, events }))
    return `Container image (${request.reference}) written to device ${devicePath}`
  }
}
