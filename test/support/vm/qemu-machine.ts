// SPDX-License-Identifier: Apache-2.0
// Owns one QEMU machine as a piece of hardware: its power, its boot order and firmware, what lies in its
// drives, its disk and its serial console. It has an end: with its owner, or with this process, however
// that ends. Does not know Redfish or Ironic.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Accelerator } from './accelerator.ts'
import {
  type Boot,
  type BootDevice,
  driveIds,
  type Firmware,
  type MoreDisk,
  OVMF_VARIABLES,
  qemuArguments,
  type Server,
} from './qemu-arguments.ts'
import { createQmp, type Qmp, type QmpEvent } from './qmp.ts'
import { createSerialLog, type SerialLog } from './serial-log.ts'

const MiB = 1024 * 1024
/** Ironic takes no disk below 4 GiB; the file is sparse, so it costs what is written. */
const DISK_BYTES = 5 * 1024 * MiB
/** All that QMP wants to hear of a limit. */
const UNLIMITED = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 }

export interface QemuMachineOptions {
  readonly name: string
  /** Gets the disk, the serial log and the UEFI variables. */
  readonly folder: string
  readonly accelerator: Accelerator
  readonly firmware: Firmware
  readonly tap?: string
  readonly mac?: string
  /** See `Hardware.hasPlainNic`. */
  readonly hasPlainNic?: boolean
  /** See `Hardware.hasNvme`. */
  readonly hasNvme?: boolean
  /** See `Hardware.hasScreen`. */
  readonly hasScreen?: boolean
  readonly memoryMib?: number
  /** 1 unless given: without KVM each one that works keeps a processor of the host busy. */
  readonly processors?: number
  readonly diskBytes?: number
  /** See `Hardware.moreDisks`; the files are the caller's. */
  readonly moreDisks?: readonly MoreDisk[]
  /** See `Hardware.server`. */
  readonly server?: Server
  /** See `Hardware.clock`. */
  readonly clock?: string
}

/** Why a machine went off. */
export type PowerOffCause = 'guest' | 'plug' | 'crash'

export interface QemuMachine extends AsyncDisposable {
  readonly name: string
  readonly uuid: string
  readonly mac: string
  readonly disk: string
  readonly serial: SerialLog
  /** What the next boots start from, like a server's set-up; change it at any time. */
  readonly setup: {
    firmware: Firmware
    /** Always, unless `once` says otherwise for the next boot. */
    device: BootDevice
    once: BootDevice | undefined
    /** Boots this kernel directly as long as it is set. */
    kernel: Boot['kernel'] | undefined
    cdrom: string | undefined
    secondCdrom: string | undefined
    usbStick: string | undefined
    /** See `Boot.hasUsbKeyboard`. */
    hasUsbKeyboard: boolean
    /** See `Hardware.moreDisks`: one is pulled out, another put in. */
    moreDisks: readonly MoreDisk[]
  }
  isOn(): boolean
  /** How many times it was started, by us or by a reset of its own. */
  readonly boots: number
  /** What ended the last boot; undefined while the first one runs. */
  readonly lastPowerOff: PowerOffCause | undefined
  powerOn(): Promise<void>
  /** Pulls the plug: nothing in the guest learns of it. */
  powerOff(): Promise<void>
  /** Pulls the plug and starts again. */
  powerCycle(): Promise<void>
  /** What a short press on the power button does: ACPI tells the guest. */
  pressPowerButton(): Promise<void>
  /** Resolves when the machine is off. Throws when the time is up. */
  waitForPowerOff(timeoutMs: number): Promise<PowerOffCause>
  /** How fast each of its `moreDisks` reads and writes from now on, bytes per second, until it is off; 0 is no limit. */
  limitMoreDisks(bytesPerSecond: number): Promise<void>
  /** What its screen shows, as the name of the file ends: `.png`, or `.ppm` for programs. */
  screenshot(path: string): Promise<void>
  /** Presses a key of its keyboard, by QEMU's name of it: `f`, `ret`. */
  pressKey(key: string): Promise<void>
  /** Types at the serial console. */
  type(text: string): Promise<void>
  /** A magic SysRq key by serial break (kernel: Documentation/admin-guide/sysrq); `f` kills the largest process. */
  pressSysRq(key: string): Promise<void>
}

/** A machine that is switched off, with an empty disk. */
export async function createQemuMachine(options: QemuMachineOptions): Promise<QemuMachine> {
  const { name, folder } = options
  await mkdir(folder, { recursive: true })
  const at = (suffix: string) => join(folder, `${name}.${suffix}`)
  const { uuid, mac } = identityOf(name)
  const disk = at('disk')
  await makeEmptyDisk(disk, options.diskBytes ?? DISK_BYTES)
  await copyFile(OVMF_VARIABLES, at('uefi-variables'))
  // a socket's path may not be longer than 107 bytes, and the folder may be anywhere
  const sockets = await mkdtemp(join(tmpdir(), 'ironswarm-vm-'))
  const files = {
    uefiVariables: at('uefi-variables'),
    serialSocket: join(sockets, 'serial'),
    serialLog: at('serial.log'),
  }
  await rm(files.serialLog, { force: true })
  const serial = createSerialLog(files.serialLog)
  const hardware = {
    name,
    uuid,
    mac: options.mac ?? mac,
    disk,
    memoryMib: options.memoryMib ?? 512,
    processors: options.processors ?? 1,
    accelerator: options.accelerator,
    tap: options.tap,
    hasPlainNic: options.hasPlainNic ?? false,
    hasNvme: options.hasNvme ?? false,
    ...(options.server === undefined ? {} : { server: options.server }),
    hasScreen: options.hasScreen ?? false,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  }
  const setup: QemuMachine['setup'] = {
    firmware: options.firmware,
    device: 'disk',
    once: undefined,
    kernel: undefined,
    cdrom: undefined,
    secondCdrom: undefined,
    usbStick: undefined,
    hasUsbKeyboard: false,
    moreDisks: options.moreDisks ?? [],
  }
  let running: Running | undefined
  let boots = 0
  let lastPowerOff: PowerOffCause | undefined
  let isDisposed = false

  const powerOn = async (): Promise<void> => {
    if (running || isDisposed) return
    const { firmware, kernel, cdrom, secondCdrom, usbStick, hasUsbKeyboard, moreDisks } = setup
    const device = setup.once ?? setup.device
    setup.once = undefined
    boots++
    const drives = { cdrom, secondCdrom, usbStick }
    const boot = { firmware, device, ...drives, hasUsbKeyboard, ...(kernel ? { kernel } : {}) }
    const started = startQemu(qemuArguments({ ...hardware, moreDisks }, boot, files))
    running = started
    void started.ended.then(async (end) => {
      running = undefined
      lastPowerOff = end.cause
      await serial.note(`${name} is off: ${end.text}`)
      // the order of boot devices may have changed meanwhile, so a reset is another start of QEMU
      if (end.isReset) await powerOn()
    })
    await serial.note(`${name} is on: ${firmware}, from ${kernel ? 'the kernel given' : device}`)
  }

  const powerOff = async (): Promise<void> => {
    const current = running
    if (!current) return
    current.pullPlug()
    await current.ended
  }

  return {
    name,
    uuid,
    mac: hardware.mac,
    disk,
    serial,
    setup,
    isOn: () => running !== undefined,
    get boots() {
      return boots
    },
    get lastPowerOff() {
      return lastPowerOff
    },
    powerOn,
    powerOff,
    powerCycle: async () => {
      await powerOff()
      await powerOn()
    },
    pressPowerButton: async () => {
      await running?.qmp.execute('system_powerdown')
    },
    waitForPowerOff: async (timeoutMs) => {
      const current = running
      const end = await Promise.race([current?.ended, timeout(timeoutMs)])
      if (end === 'timeout') throw new Error(`${name} is still on after ${timeoutMs / 1000} s`)
      return end?.cause ?? lastPowerOff ?? 'plug'
    },
    limitMoreDisks: async (bytesPerSecond) => {
      for (const device of setup.moreDisks.flatMap(driveIds)) {
        const limits = { ...UNLIMITED, bps: bytesPerSecond }
        await running?.qmp.execute('block_set_io_throttle', { device, ...limits })
      }
    },
    screenshot: async (path) => {
      const format = path.endsWith('.ppm') ? 'ppm' : 'png'
      await running?.qmp.execute('screendump', { filename: path, format })
    },
    pressKey: async (key) => {
      await running?.qmp.execute('send-key', { keys: [{ type: 'qcode', data: key }] })
    },
    type: (text) => typeInto(files.serialSocket, text),
    pressSysRq: async (key) => {
      await running?.qmp.execute('chardev-send-break', { id: 'console' })
      // the kernel takes the next character within 5 s for the key
      await delay(500)
      await typeInto(files.serialSocket, key)
    },
    [Symbol.asyncDispose]: async () => {
      isDisposed = true
      await powerOff()
      await rm(sockets, { recursive: true, force: true })
    },
  }
}

interface End {
  readonly cause: PowerOffCause
  readonly isReset: boolean
  readonly text: string
}

interface Running {
  readonly qmp: Qmp
  readonly ended: Promise<End>
  pullPlug(): void
}

function startQemu(argumentsOfQemu: readonly string[]): Running {
  // the kernel kills QEMU when this process is gone, whatever ended it (prctl(2), PR_SET_PDEATHSIG)
  const argv = ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...argumentsOfQemu]
  const child = spawn('setpriv', argv, { stdio: ['pipe', 'pipe', 'pipe'] })
  let isPulled = false
  let shutdown: QmpEvent['data']
  let complaint = ''
  child.stderr.on('data', (bytes) => {
    complaint = `${complaint}${bytes}`.slice(-2000)
  })
  const qmp = createQmp(child, ({ event, data }) => {
    if (event === 'SHUTDOWN') shutdown = data
  })
  const ended = exitOf(child).then((how): End => {
    if (isPulled) return { cause: 'plug', isReset: false, text: 'the plug was pulled' }
    if (shutdown?.['reason'] === 'guest-reset') {
      return { cause: 'guest', isReset: true, text: 'the guest reset itself' }
    }
    if (shutdown) return { cause: 'guest', isReset: false, text: 'the guest switched it off' }
    return { cause: 'crash', isReset: false, text: `QEMU ended with ${how}: ${complaint}` }
  })
  return {
    qmp,
    ended,
    pullPlug: () => {
      isPulled = true
      child.kill('SIGKILL')
    },
  }
}

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    // not `exit`: the last words on stdout say why QEMU ended
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
}

/** The same for the same name in every run; version and variant bits as RFC 9562 wants them. */
function identityOf(name: string): { uuid: string; mac: string } {
  const hex = createHash('sha256').update(name).digest('hex')
  return {
    uuid: `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`,
    mac: `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`,
  }
}

async function makeEmptyDisk(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'w')
  await file.truncate(sizeBytes)
}

function typeInto(socketPath: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.end(text))
    // what the guest says is in the log
    socket.resume()
    socket.once('error', reject)
    socket.once('close', () => resolve())
  })
}

function timeout(ms: number): Promise<'timeout'> {
  return new Promise((resolve) => setTimeout(() => resolve('timeout'), ms).unref())
}
