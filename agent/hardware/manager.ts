// SPDX-License-Identifier: Apache-2.0
// Owns the interface of a hardware manager: what it may offer, what it is asked, what it answers.
// Does not choose between managers (dispatcher.ts) and knows nothing of commands or images.
import type { EventPublisher } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'
import type {
  Disk,
  Inventory,
  WireCpu,
  WireDisk,
  WireInterface,
  WireLldp,
  WireSystemVendor,
  WireUsbDevice,
} from './inventory.ts'

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
  /** Installs a bootable container on the root disk by the step's arguments, likewise (contract 5.10). */
  installContainer(args: JsonObject): Promise<string>
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
  /** It writes to disks that nobody has named: what a manager that is left out would have hidden is among them. */
  readonly takesAnyDisk?: boolean
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

  // single questions of the inventory
  /** One of the interfaces. Throws IncompatibleHardwareMethodError for one of another kind. */
  getInterfaceInfo(name: string): Promise<WireInterface>
  /** What switches said, by interface; those that heard nothing may be left out. */
  collectLldpData(names: readonly string[]): Promise<Readonly<Record<string, WireLldp>>>
  getCpus(): Promise<WireCpu>
  getMemory(): Promise<Inventory['memory']>
  getSystemVendorInfo(): Promise<WireSystemVendor>
  getBootInfo(): Promise<Inventory['boot']>
  getBmcAddress(): Promise<string | null>
  getBmcV6address(): Promise<string | null>
  getBmcMac(): Promise<string | null>
  /** What is plugged in by USB, for inspection. */
  getUsbDevices(): Promise<readonly WireUsbDevice[]>

  // what the generic manager asks the others before it goes by its own rules (generic/overrides.ts)
  /** Which disks there are; the generic manager finds out the rest of what it must know of them. */
  listDisks(): Promise<readonly WireDisk[]>
  /** The device, changed or not; null hides it. */
  filterDevice(
    kind: 'interface' | 'disk',
    device: WireInterface | WireDisk,
  ): Promise<WireInterface | WireDisk | null>
  /** Names of disks that are left alone, in place of those that `skip_block_devices` names. */
  getSkipListFromNodeForDisks(
    node: JsonObject,
    disks: readonly WireDisk[],
  ): Promise<readonly string[]>
  /** Names of RAID volumes that are kept, in place of those that it names. */
  getSkipListFromNodeForRaids(node: JsonObject): Promise<readonly string[]>
  /** The path of the root disk. */
  chooseOsInstallDevice(node: JsonObject | undefined): Promise<string>
  /** Erases one disk and says how. */
  eraseBlockDevice(node: JsonObject, disk: WireDisk, signal: AbortSignal): Promise<string>
  /** PEM of the certificate of the agent's API and of its key. */
  generateTlsCertificate(
    address: string,
  ): Promise<{ readonly certificate: string; readonly key: string }>
}

export type HardwareMethod = keyof HardwareMethods

export type HardwareAnswer<M extends HardwareMethod> = Awaited<ReturnType<HardwareMethods[M]>>

/** The other managers of the machine, as one of them asks them. */
export interface OtherManagers {
  /** True if one of them has the method; it may still decline. */
  has(method: HardwareMethod): boolean
  /** Names of all their steps. */
  stepNames(): readonly string[]
  /** What the best of them answers that has the method and does not decline; undefined where there is none. */
  ask<M extends HardwareMethod>(
    method: M,
    ...args: Parameters<HardwareMethods[M]>
  ): Promise<{ readonly answer: HardwareAnswer<M> } | undefined>
}

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
  initialize?(others: OtherManagers): Promise<void>
  readonly steps: readonly StepImplementation[]
  /** Throws where steps that it should have cannot be had: whoever lists them must hear of it. */
  assertSteps?(): void
  /** Lets go of what it holds; the agent ends. */
  close?(): Promise<void>
}
