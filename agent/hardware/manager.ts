// SPDX-License-Identifier: Apache-2.0
// Owns the interface of a hardware manager: what it may offer, what it is asked, what it answers.
// Does not choose between managers (dispatcher.ts) and knows nothing of commands or images.
import type { EventPublisher } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'
import type { Disk, Inventory, WireInterface } from './inventory.ts'

/** How well a manager knows this machine (contract 7.1); the higher is asked first, NONE never. */
export const SUPPORT = { NONE: 0, GENERIC: 1, MAINLINE: 2, SERVICE_PROVIDER: 3 } as const

export type StepKind = 'clean' | 'deploy' | 'service'

/** A step as the conductor reads it; the keys are the wire's (contract 5.1). */
export interface Step {
  readonly step: string
  readonly priority: number
  readonly interface: string
  readonly reboot_requested: boolean
  readonly abortable?: boolean
  readonly argsinfo?: Readonly<
    Record<string, { readonly description: string; readonly required?: boolean }>
  >
}

/** What a running step gets from the command that started it. */
export interface StepContext {
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal
  /** Hears of the step's progress; whoever shows it subscribes above. */
  readonly events: EventPublisher
  /**
   * Writes the image to the root disk and resolves to the message of contract 5.2. It is handed in,
   * because images are written a layer above the hardware managers.
   */
  writeImage(imageInfo: unknown, configdrive: unknown): Promise<string>
  /** Lets go of what the agent itself holds open on disks: a deployed image that is still being seeded. */
  releaseDisks(): Promise<void>
  /** Ends the seeding of the deployed image, which is about to change; what was written stays known. */
  stopSeeding(): Promise<void>
}

/** One call of a step: the conductor's node and ports, and the arguments by name. */
export interface StepCall {
  readonly node: JsonObject
  readonly ports: readonly JsonObject[]
  readonly args: JsonObject
  readonly context: StepContext
}

/** A step of a manager: how it is announced, by which names it takes arguments, what it does. */
export interface StepImplementation {
  readonly kinds: readonly StepKind[]
  /** What `get_*_steps` says of it. */
  readonly announce: Step
  /** Names of the arguments it accepts; any other fails the step (contract 5.1). */
  readonly accepts: readonly string[]
  readonly run: (call: StepCall) => Promise<unknown>
}

/** One member of the log bundle: a file name and its content, text already free of secrets. */
export interface LogMember {
  readonly name: string
  readonly content: string | Uint8Array
}

/** The calls a manager may offer; the dispatcher takes the first manager that has one (contract 7.1). */
export interface HardwareMethods {
  /** Physical interfaces, VLANs and bonds: the lookup needs nothing else of the inventory. */
  listNetworkInterfaces(): Promise<readonly WireInterface[]>
  /** Every disk that may be a root disk, in the order the kernel lists them (contract 5.4). */
  listBlockDevices(node: JsonObject | undefined): Promise<readonly Disk[]>
  /** The root disk. Throws DeviceNotFound; InvalidCommandParamsError for hints nobody can understand. */
  getOsInstallDevice(node: JsonObject | undefined): Promise<Disk>
  /**
   * Waits until the node's root disk is there, at most once per node: true if it was found, false when
   * the configured attempts are used up or the signal ended the wait. Never throws.
   */
  waitForDisks(node: JsonObject | undefined, signal: AbortSignal): Promise<boolean>
  /** All of contract 6.1. */
  listHardwareInfo(): Promise<Inventory>
  /** What this manager adds to the log bundle (contract 5.8). Leaves out what fails. */
  collectSystemLogs(signal: AbortSignal): Promise<readonly LogMember[]>
  /** Flushes every disk (contract 5.6). */
  fullSync(signal: AbortSignal): Promise<void>
}

export type HardwareMethod = keyof HardwareMethods

/** A hardware manager. A method it does not have falls to the next manager. */
export interface HardwareManager extends Partial<HardwareMethods> {
  /** Key of the version map: `generic_hardware_manager`. */
  readonly name: string
  readonly version: string
  /** Key of the lists in `get_*_steps` and of dispatch_all: `GenericHardwareManager`. */
  readonly label: string
  /** One of {@link SUPPORT}, or higher. Asked exactly once. */
  evaluateHardwareSupport(): Promise<number>
  /** Called once, in the order of support, after every manager has been evaluated. */
  initialize?(): Promise<void>
  readonly steps: readonly StepImplementation[]
}
