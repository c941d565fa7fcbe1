// SPDX-License-Identifier: Apache-2.0
// Owns what comes from a third-party manager's thread and is looked at once, here: what it says of itself, what each
// call answers, which program it wants to be run. Does not call anything.
import { AgentError } from '../../core/errors.ts'
import { isObject } from '../../core/json.ts'
import type { ExecOptions } from '../../system/exec.ts'
import type { HardwareCalls, Step } from './interface.ts'
import * as shape from './shape.ts'

/** What a manager says of itself. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly label: string
  readonly initializes: boolean
  readonly calls: readonly (keyof HardwareCalls)[]
  readonly steps: readonly Omit<Step, 'run'>[]
}

/**
 * What becomes of a question whose manager throws, hangs, or answers what it may not: `next` asks the next manager,
 * with a warning; `fail` is the end of whatever asked, since it may be about data that must stay.
 */
export type OnFailure = 'next' | 'fail'

const NAME = /^[\w.-]{1,64}$/
const MAX_STEPS = 64
const MAX_STEP_SECONDS = 7 * 24 * 3600

const name = shape.matching(NAME, 'a name of letters, digits, _ - and .')
const textOrNull = shape.orNull(shape.text)
const countOrNull = shape.orNull(shape.count)
const mac = shape.matching(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'a MAC address in lower case')
const tlvs = shape.listOf(
  shape.pair(shape.count, shape.matching(/^([0-9a-f]{2})*$/i, 'bytes in hex')),
)

const networkInterface = shape.object({
  name: shape.text,
  mac_address: mac,
  ipv4_address: textOrNull,
  ipv6_address: textOrNull,
  has_carrier: shape.boolean,
  lldp: shape.orNull(tlvs),
  vendor: textOrNull,
  product: textOrNull,
  client_id: textOrNull,
  biosdevname: textOrNull,
  speed_mbps: countOrNull,
  pci_address: textOrNull,
  driver: textOrNull,
})

const blockDevice = shape.object({
  name: shape.matching(/^\/./, 'an absolute path'),
  model: textOrNull,
  size: shape.count,
  rotational: shape.boolean,
  wwn: textOrNull,
  serial: textOrNull,
  vendor: textOrNull,
  wwn_with_extension: textOrNull,
  wwn_vendor_extension: textOrNull,
  hctl: textOrNull,
  by_path: textOrNull,
  logical_sectors: countOrNull,
  physical_sectors: countOrNull,
  tran: textOrNull,
})

const cpu = shape.object({
  model_name: textOrNull,
  frequency: textOrNull,
  count: countOrNull,
  architecture: textOrNull,
  flags: shape.listOf(shape.text),
  socket_count: countOrNull,
})
const memory = shape.object({ total: countOrNull, physical_mb: countOrNull })
const systemVendor = shape.object({
  product_name: shape.text,
  serial_number: shape.text,
  manufacturer: shape.text,
  firmware: shape.object({ vendor: shape.text, version: shape.text, build_date: shape.text }),
})
const bootInfo = shape.object({
  current_boot_mode: shape.oneOf('uefi', 'bios'),
  pxe_interface: textOrNull,
})
const usbDevice = shape.object({ product: shape.text, vendor: shape.text, handle: shape.text })
const inventory = shape.object({
  interfaces: shape.listOf(networkInterface),
  cpu,
  disks: shape.listOf(blockDevice),
  memory,
  bmc_address: textOrNull,
  bmc_v6address: textOrNull,
  system_vendor: systemVendor,
  boot: bootInfo,
  hostname: textOrNull,
})
const certificate = shape.object({
  certificate: shape.matching(/^-----BEGIN CERTIFICATE-----/, 'a certificate in PEM'),
  key: shape.matching(/^-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'a private key in PEM'),
})
const logFile = shape.object({
  name: shape.matching(/^(?!.*\.\.)[\w.@-][\w./@-]{0,200}$/, 'a file name'),
  content: shape.text,
})

/** Every call of the interface: the shape of its answer, and what a failure of it means. */
export const CALLS = {
  listHardwareInfo: { answer: inventory, onFailure: 'next' },
  listNetworkInterfaces: { answer: shape.listOf(networkInterface), onFailure: 'next' },
  getInterfaceInfo: { answer: networkInterface, onFailure: 'next' },
  collectLldpData: { answer: shape.mapOf(tlvs), onFailure: 'next' },
  listBlockDevices: { answer: shape.listOf(blockDevice), onFailure: 'fail' },
  getCpus: { answer: cpu, onFailure: 'next' },
  getMemory: { answer: memory, onFailure: 'next' },
  getSystemVendorInfo: { answer: systemVendor, onFailure: 'next' },
  getBootInfo: { answer: bootInfo, onFailure: 'next' },
  getBmcAddress: { answer: textOrNull, onFailure: 'next' },
  getBmcV6address: { answer: textOrNull, onFailure: 'next' },
  getBmcMac: { answer: shape.orNull(mac), onFailure: 'next' },
  getUsbDevices: { answer: shape.listOf(usbDevice), onFailure: 'next' },
  filterDevice: { answer: shape.orNull(shape.object({ name: shape.text })), onFailure: 'fail' },
  getSkipListFromNodeForDisks: { answer: shape.listOf(shape.text), onFailure: 'fail' },
  getSkipListFromNodeForRaids: { answer: shape.listOf(shape.text), onFailure: 'fail' },
  getOsInstallDevice: { answer: shape.text, onFailure: 'fail' },
  waitForDisks: { answer: shape.boolean, onFailure: 'next' },
  eraseBlockDevice: { answer: shape.text, onFailure: 'fail' },
  generateTlsCertificate: { answer: certificate, onFailure: 'next' },
  collectSystemLogs: { answer: shape.listOf(logFile, 64), onFailure: 'next' },
  fullSync: { answer: shape.nothing, onFailure: 'next' },
} as const satisfies Record<
  keyof HardwareCalls,
  { readonly answer: shape.Shape; readonly onFailure: OnFailure }
>

/** A device as `filterDevice` may give it back. */
export const DEVICES = { interface: networkInterface, disk: blockDevice } as const

export const CALL_NAMES = Object.keys(CALLS) as readonly (keyof HardwareCalls)[]

const step = shape.object({
  kinds: shape.listOf(shape.oneOf('clean', 'deploy', 'service'), 3),
  step: shape.matching(/^[A-Za-z]\w{0,63}$/, 'a name of letters, digits and _'),
  priority: shape.count,
  interface: shape.orNone(shape.text),
  reboot_requested: shape.orNone(shape.boolean),
  abortable: shape.orNone(shape.boolean),
  argsinfo: shape.orNone(
    shape.mapOf(shape.object({ description: shape.text, required: shape.orNone(shape.boolean) })),
  ),
  touchesDisks: shape.orNone(shape.boolean),
  timeoutSeconds: shape.orNone(shape.above0upTo(MAX_STEP_SECONDS)),
})

const manifest = shape.object({
  name,
  version: shape.matching(/^\S{1,64}$/, 'a version'),
  label: shape.orNone(name),
  steps: shape.listOf(step, MAX_STEPS),
})

/** Throws HardwareManagerConfigurationError: what is missing or wrong. */
export function parseManifest(value: unknown): Manifest {
  const wrong = manifest(value, 'manager')
  if (wrong !== null) throw unusable(wrong)
  const found = value as Omit<Manifest, 'steps'> & {
    readonly evaluates: boolean
    readonly steps: readonly (Manifest['steps'][number] & { readonly runs: boolean })[]
  }
  if (!found.evaluates) throw unusable('manager.evaluateHardwareSupport is no function')
  const idle = found.steps.find(({ runs }) => !runs)
  if (idle) throw unusable(`run of the step ${idle.step} is no function`)
  return { ...found, label: found.label ?? found.name }
}

/** Throws CommandExecutionError for a value that the call may not answer. */
export function parseAnswer(
  call: keyof HardwareCalls,
  args: readonly unknown[],
  value: unknown,
): unknown {
  const answer =
    call === 'filterDevice' && value !== null
      ? DEVICES[args[0] as keyof typeof DEVICES]
      : CALLS[call].answer
  const wrong = answer(value, call)
  if (wrong === null) return value
  throw new AgentError('CommandExecutionError', `an answer that cannot be used: ${wrong}`)
}

/** The program that a manager wants to be run. Throws CommandExecutionError. */
export function parseExecCall(value: unknown): {
  readonly argv: readonly [string, ...string[]]
  readonly options: ExecOptions
} {
  const [argv, options] = Array.isArray(value) ? value : []
  const wrong =
    shape.listOf(shape.text)(argv, 'argv') ??
    shape.object({
      timeoutMs: shape.orNone(shape.above0upTo(MAX_STEP_SECONDS * 1000)),
      okExitCodes: shape.orNone(shape.listOf(shape.count)),
      input: shape.orNone(shape.text),
      env: shape.orNone(shape.mapOf(shape.text)),
    })(options, 'options')
  if (wrong !== null) throw new AgentError('CommandExecutionError', `exec: ${wrong}`)
  if (argv.length === 0) throw new AgentError('CommandExecutionError', 'exec: argv is empty')
  const { timeoutMs, okExitCodes, input, env } = isObject(options) ? options : {}
  const given = { timeoutMs, okExitCodes, input, env }
  return {
    argv,
    options: Object.fromEntries(
      Object.entries(given).filter(([, each]) => each !== undefined),
    ) as ExecOptions,
  }
}

function unusable(details: string): AgentError {
  return new AgentError('HardwareManagerConfigurationError', details)
}
