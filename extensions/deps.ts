// SPDX-License-Identifier: Apache-2.0
// Owns what the extensions are given by main.ts, as narrow interfaces: an extension reaches the machine,
// the image pipeline and the node only through these. Does not make any of them.
import type { Config } from '../agent/config/options.ts'
import type { BytesBySource, Progress } from '../agent/core/events.ts'
import type { JsonObject } from '../agent/core/json.ts'
import type { SeedingKeeper } from '../agent/deploy/seeding-keeper.ts'
import type { Hardware } from '../agent/hardware/dispatcher.ts'
import type { ImageInfo } from '../agent/image/request/image-info.ts'
import type { Exec } from '../agent/system/exec.ts'
import type { Root } from '../agent/system/root.ts'
import type { Logger } from '../agent/telemetry/logger.ts'

/** One image write, as agent/image/deploy-image.ts takes it. */
export interface DeployImageRequest {
  readonly imageInfo: ImageInfo
  /** Text as Ironic sent it (contract 5.3.8): a url or base64 of a gzip; null for none. */
  readonly configdrive: string | null
  readonly node?: JsonObject
  readonly devicePath: string
  readonly signal: AbortSignal
  onProgress(progress: Progress): void
}

/** What the extensions need to know of a finished write. */
export interface WrittenImage {
  readonly device: string
  readonly imageId: string
  /** `0x…` of the MBR for a whole-disk image; null if it could not be read. */
  readonly rootUuid: string | null
  readonly seconds: number
  readonly bytes: BytesBySource
  /** Goes on serving the image from the disk until disposed of. */
  readonly seeding?: AsyncDisposable | undefined
}

/** agent/image/deploy-image.ts with its own dependencies filled in. */
export type DeployImage = (request: DeployImageRequest) => Promise<WrittenImage>

/** The node object as last told by Ironic (lookup, or the `node` of a step call). */
export interface NodeHolder {
  current(): JsonObject | undefined
  set(node: JsonObject): void
}

/** Ends of the machine; with `machine_control=log` they are logged and the process exits instead. */
export interface PowerControl {
  powerOff(): Promise<void>
  reboot(): Promise<void>
}

/** A UEFI set-up of the root disk (contract 5.5), as agent/disk/bootloader.ts does it. */
export interface BootloaderRequest {
  readonly devicePath: string
  readonly efiSystemPartUuid: string | null
  readonly signal: AbortSignal
}

/** Resolves to true when boot entries were made, false when the ESP holds no loader. Throws DeviceNotFound. */
export type InstallUefiBootloader = (request: BootloaderRequest) => Promise<boolean>

export interface ExtensionDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** Wall clock, ms. */
  readonly now: () => number
  readonly hardware: Hardware
  readonly nodeCache: NodeHolder
  /** Looks the node up again; used where a command names no node and no root device hints are known. */
  readonly refreshNode?: (signal: AbortSignal) => Promise<JsonObject | undefined>
  readonly deployImage: DeployImage
  readonly installUefiBootloader: InstallUefiBootloader
  readonly power: PowerControl
  /** Owner of the seeding of the last deploy; main disposes of it at shutdown. */
  readonly seeding: SeedingKeeper
  /**
   * The machine belongs to the rescue user from here on: the agent stops serving once the answers under
   * way have been delivered, and stays idle.
   */
  readonly afterRescue: () => void
  /** The agent's recent log lines, for the log bundle; main keeps a bounded number of them. */
  readonly recentLog?: () => string
}
