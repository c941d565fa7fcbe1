// SPDX-License-Identifier: Apache-2.0
// Owns the interface of hardware managers that others write, version 1 (docs/hardware-managers.md). It imports
// nothing: copied beside a manager it is all that the compiler needs. Values are ironic-python-agent's, as JSON.

/** What a file of the directory `hardware_managers` exports: this, and {@link CreateHardwareManager}. */
export interface HardwareManagerModule {
  /** The version of this interface that the manager is written for. */
  readonly apiVersion: 1
  readonly createHardwareManager: CreateHardwareManager
}

/** Called once in a thread of its own, before anything else of the manager. */
export type CreateHardwareManager = (agent: Agent) => HardwareManager | Promise<HardwareManager>

/** JSON of Ironic's: a node, a port. */
export type JsonObject = { readonly [key: string]: unknown }

/** What the agent does for a manager. */
export interface Agent {
  /**
   * Runs a program, never a shell. It ends with the call that it was started in.
   * Throws ProcessError for an exit code that is not expected, a signal, a timeout.
   */
  exec(argv: readonly [string, ...string[]], options?: ExecOptions): Promise<ExecResult>
  /** Lines of the agent's log, which goes into the log bundle; what looks like a secret is struck out. */
  log(level: 'debug' | 'info' | 'warn', message: string, facts?: JsonObject): void
  /** Throws what makes the agent ask the next manager (IncompatibleHardwareMethodError). */
  decline(reason: string): never
  /** Throws an error that Ironic reads as of this type (docs/errors.md); an unknown one is CommandExecutionError. */
  fail(type: string, details: string): never
}

export interface ExecOptions {
  /** 60 000 unless given. */
  readonly timeoutMs?: number
  /** Exit codes that are answers; [0] unless given. */
  readonly okExitCodes?: readonly number[]
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface ExecResult {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/**
 * A manager. Each method that it has is asked before those of managers with less support; one that it has not,
 * or that calls `agent.decline`, leaves the question to the next.
 */
export interface HardwareManager extends Partial<HardwareCalls> {
  /** In the version map that Ironic compares between steps. Letters, digits, `_`, `-` and `.`. */
  readonly name: string
  /** Raise it whenever a step changes. */
  readonly version: string
  /** Under which the steps are listed; `name` unless given. Python's managers have their class name here. */
  readonly label?: string
  /** 0 not at all, 1 generic, 2 mainline, 3 service provider, or higher. Asked once. */
  evaluateHardwareSupport(): Answer<number>
  /** Called in the order of support after all have been evaluated, and again if the thread had to be ended. */
  initialize?(): Answer<void>
  readonly steps?: readonly Step[]
}

type Answer<T> = T | Promise<T>

export interface HardwareCalls {
  // what the machine has
  listHardwareInfo(): Answer<JsonObject>
  listNetworkInterfaces(): Answer<readonly NetworkInterface[]>
  getInterfaceInfo(name: string): Answer<NetworkInterface>
  /** By interface: type and value in hex of each TLV. */
  collectLldpData(names: readonly string[]): Answer<LldpData>
  /** Whatever is named here must exist; what the agent knows of it besides stays as it is. */
  listBlockDevices(): Answer<readonly BlockDevice[]>
  getCpus(): Answer<Cpu>
  getMemory(): Answer<Memory>
  getSystemVendorInfo(): Answer<SystemVendor>
  getBootInfo(): Answer<BootInfo>
  getBmcAddress(): Answer<string | null>
  getBmcV6address(): Answer<string | null>
  getBmcMac(): Answer<string | null>
  /** For the collector usb-devices of an inspection. */
  getUsbDevices(): Answer<readonly UsbDevice[]>
  // which of it may be touched
  /** The device, changed or not; null hides it from everything, erasing included. */
  filterDevice(kind: 'interface', device: NetworkInterface): Answer<NetworkInterface | null>
  filterDevice(kind: 'disk', device: BlockDevice): Answer<BlockDevice | null>
  /** Names of disks that are neither erased nor deployed to. */
  getSkipListFromNodeForDisks(
    node: JsonObject,
    disks: readonly BlockDevice[],
  ): Answer<readonly string[]>
  /** Names of software RAID volumes that are kept. */
  getSkipListFromNodeForRaids(node: JsonObject): Answer<readonly string[]>
  /** The path of the root disk. */
  getOsInstallDevice(node: JsonObject | null): Answer<string>
  /** Waits for the root disk, before the first command: true if it is there. */
  waitForDisks(node: JsonObject | null): Answer<boolean>
  // what is done with it
  /** Erases one disk and says how. What it does not decline is not erased by anybody else. */
  eraseBlockDevice(node: JsonObject, disk: BlockDevice): Answer<string>
  /** PEM. */
  generateTlsCertificate(
    address: string,
  ): Answer<{ readonly certificate: string; readonly key: string }>
  collectSystemLogs(): Answer<readonly LogFile[]>
  fullSync(): Answer<void>
}

export interface Step {
  /** When it is offered. */
  readonly kinds: readonly ('clean' | 'deploy' | 'service')[]
  readonly step: string
  /** 0: only where it is asked for. */
  readonly priority: number
  /** `deploy` unless given. */
  readonly interface?: string
  readonly reboot_requested?: boolean
  readonly abortable?: boolean
  readonly argsinfo?: Readonly<
    Record<string, { readonly description: string; readonly required?: boolean }>
  >
  /** False for a step that reads and writes no disk: the deployed image is then seeded on. True unless given. */
  readonly touchesDisks?: boolean
  /** Longest that it may run; 3600 unless given, 604 800 at most. */
  readonly timeoutSeconds?: number
  /** What it answers goes to Ironic as the step's result; it must be JSON. */
  run(call: StepCall): unknown
}

export interface StepCall {
  readonly node: JsonObject
  readonly ports: readonly JsonObject[]
  readonly args: JsonObject
  /** Aborts when the agent ends or the step takes too long. */
  readonly signal: AbortSignal
  /** Writes an image to the root disk as the step write_image does. */
  writeImage(imageInfo: unknown, configdrive?: unknown): Promise<string>
}

export interface LogFile {
  readonly name: string
  readonly content: string
}

export interface NetworkInterface {
  readonly name: string
  readonly mac_address: string
  readonly ipv4_address: string | null
  readonly ipv6_address: string | null
  readonly has_carrier: boolean
  readonly lldp: LldpData[string] | null
  readonly vendor: string | null
  readonly product: string | null
  readonly client_id: string | null
  readonly biosdevname: string | null
  readonly speed_mbps: number | null
  readonly pci_address: string | null
  readonly driver: string | null
}

export type LldpData = Readonly<Record<string, readonly (readonly [type: number, hex: string])[]>>

export interface BlockDevice {
  readonly name: string
  readonly model: string | null
  /** Bytes. */
  readonly size: number
  readonly rotational: boolean
  readonly wwn: string | null
  readonly serial: string | null
  readonly vendor: string | null
  readonly wwn_with_extension: string | null
  readonly wwn_vendor_extension: string | null
  readonly hctl: string | null
  readonly by_path: string | null
  readonly logical_sectors: number | null
  readonly physical_sectors: number | null
  readonly tran: string | null
}

export interface Cpu {
  readonly model_name: string | null
  readonly frequency: string | null
  readonly count: number | null
  readonly architecture: string | null
  readonly flags: readonly string[]
  readonly socket_count: number | null
}

export interface Memory {
  /** Bytes. */
  readonly total: number | null
  readonly physical_mb: number | null
}

export interface SystemVendor {
  readonly product_name: string
  readonly serial_number: string
  readonly manufacturer: string
  readonly firmware: {
    readonly vendor: string
    readonly version: string
    readonly build_date: string
  }
}

export interface UsbDevice {
  readonly product: string
  readonly vendor: string
  /** `USB:<bus>:<device>` */
  readonly handle: string
}

export interface BootInfo {
  readonly current_boot_mode: 'uefi' | 'bios'
  readonly pxe_interface: string | null
}
