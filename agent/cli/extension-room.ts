// SPDX-License-Identifier: Apache-2.0
// Owns what the agent gives to the extensions and wants of them, seen from above: only main.ts may
// import extensions/, which checks this shape against theirs. Does not make any of it.
import type { Extension } from '../commands/command.ts'
import type { Config } from '../config/options.ts'
import type { BytesBySource, Progress } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import type { ImageInfo } from '../image/request/image-info.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'

/** The owner of seeding that outlives a deploy. */
export interface SeedingOwner extends AsyncDisposable {
  hold(seeding: AsyncDisposable): Promise<void>
  release(reason: string): Promise<void>
  isSeeding(): boolean
}

export interface DeployRequest {
  readonly imageInfo: ImageInfo
  readonly configdrive: string | null
  readonly node?: JsonObject
  readonly devicePath: string
  readonly signal: AbortSignal
  onProgress(progress: Progress): void
}

export interface Deployed {
  readonly device: string
  readonly imageId: string
  readonly rootUuid: string | null
  readonly seconds: number
  readonly bytes: BytesBySource
  readonly seeding?: AsyncDisposable | undefined
}

export interface ExtensionParts {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly now: () => number
  readonly hardware: Hardware
  readonly nodeCache: { current(): JsonObject | undefined; set(node: JsonObject): void }
  readonly refreshNode: (signal: AbortSignal) => Promise<JsonObject | undefined>
  readonly deployImage: (request: DeployRequest) => Promise<Deployed>
  readonly installUefiBootloader: (request: {
    readonly devicePath: string
    readonly efiSystemPartUuid: string | null
    readonly signal: AbortSignal
  }) => Promise<boolean>
  readonly power: { powerOff(): Promise<void>; reboot(): Promise<void> }
  readonly seeding: SeedingOwner
  /** Stop serving after the answers under way, and stay idle. */
  readonly afterRescue: () => void
  readonly recentLog: () => string
}

/** What main.ts brings from extensions/. */
export interface ExtensionRoom {
  readonly createExtensions: (parts: ExtensionParts) => readonly Extension[]
  readonly createSeedingKeeper: (deps: { readonly log: Logger }) => SeedingOwner
}
