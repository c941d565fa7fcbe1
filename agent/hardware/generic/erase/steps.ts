// SPDX-License-Identifier: Apache-2.0
// Owns the steps that erase disks (contract 7.2, 7.3): several disks at once, by the best way each one
// has, with every failure told. Does not choose the disks (plan.ts) and does not write to them.
import { throwIfAborted } from '../../../core/deadline.ts'
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { EventPublisher } from '../../../core/events.ts'
import { type EraseOptions, eraseDiskMetadata, overwriteDisk } from '../../../disk/erase.ts'
import { warn } from '../../../telemetry/operation.ts'
import { createProgressMeter, type ProgressMeter } from '../../../telemetry/progress-meter.ts'
import type { Disk } from '../../inventory.ts'
import type { OtherManagers, Step, StepCall, StepImplementation } from '../../manager.ts'
import { toWireDisk } from '../../wire-disk.ts'
import { eraseAtaSecurely } from './ata.ts'
import { eraseNvmeSecurely } from './nvme.ts'
import { type DiskLeftAlone, type ErasePlan, type ErasePlanDeps, planErasure } from './plan.ts'
import { type EraseSettings, readEraseSettings } from './settings.ts'

interface DiskErasure extends EraseOptions {
  readonly events: EventPublisher
}

export interface EraseDeps extends ErasePlanDeps {
  readonly others: OtherManagers
}

/** Erases one disk and says how. */
type EraseDisk = (disk: Disk, options: DiskErasure) => Promise<string>

/** The steps erase_devices_metadata, erase_devices and erase_devices_express. */
export function createEraseSteps(deps: EraseDeps): StepImplementation[] {
  const metadata = async (call: StepCall) => {
    await eraseAll(deps, call, readEraseSettings(call.node), eraseMetadata)
    return null
  }
  return [
    {
      kinds: ['clean'],
      announce: cleanStep('erase_devices_metadata', 99),
      accepts: [],
      run: metadata,
    },
    {
      kinds: ['deploy'],
      announce: announce('erase_devices_metadata', 0),
      accepts: [],
      run: metadata,
    },
    {
      kinds: ['clean'],
      announce: cleanStep('erase_devices', 10),
      accepts: [],
      run: (call) => eraseDevices(deps, call),
    },
    {
      kinds: ['clean'],
      announce: cleanStep('erase_devices_express', 0),
      accepts: [],
      run: (call) => eraseExpress(deps, call),
    },
  ]
}

function announce(step: string, priority: number): Step {
  return { step, priority, interface: 'deploy', reboot_requested: false }
}

function cleanStep(step: string, priority: number): Step {
  return { ...announce(step, priority), abortable: true }
}

const eraseMetadata: EraseDisk = async (disk, options) => {
  await eraseDiskMetadata(disk.name, options)
  return 'metadata erased'
}

/** Every byte of every disk: by the drive itself where it can, else by overwriting. */
async function eraseDevices(deps: EraseDeps, call: StepCall) {
  const settings = readEraseSettings(call.node)
  const passes = settings.randomPasses + Number(settings.endsWithZeros)
  if (passes === 0) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'agent_erase_devices_iterations is 0 and agent_erase_devices_zeroize is off: nothing would be erased',
    )
  }
  using meter = createProgressMeter({ now: () => performance.now(), events: call.context.events })
  const start = ({ disks }: ErasePlan) =>
    meter.begin('erase', passes * disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
  const results = await eraseAll(
    deps,
    call,
    settings,
    async (disk, options) => {
      const how =
        (await eraseByAnother(deps, call, disk, options)) ??
        (await eraseSecurely(disk, settings, options))
      if (how === undefined) return await overwrite(disk, settings, options, meter)
      meter.add(passes * disk.sizeBytes)
      return how
    },
    { start, failsOnReadOnly: !settings.skipsReadOnly },
  )
  return Object.fromEntries(results)
}

/** NVMe drives erase themselves within seconds; of the others the metadata. */
async function eraseExpress(deps: ErasePlanDeps, call: StepCall) {
  const settings = readEraseSettings(call.node)
  const results = await eraseAll(deps, call, settings, async (disk, options) => {
    const onlyNvme = { ...settings, usesAtaSecureErase: false, goesOnAfterFailure: true }
    return (await eraseSecurely(disk, onlyNvme, options)) ?? (await eraseMetadata(disk, options))
  })
  return Object.fromEntries(results)
}

/**
 * By the drive's own command; undefined if it has none, or if that failed and overwriting is allowed
 * instead. The metadata is erased afterwards too: it is quick, and checked by reading it back.
 */
async function eraseSecurely(
  disk: Disk,
  settings: EraseSettings,
  options: DiskErasure,
): Promise<string | undefined> {
  const isNvme = disk.name.startsWith('/dev/nvme')
  const isWanted = isNvme ? settings.usesNvmeSecureErase : settings.usesAtaSecureErase
  if (!isWanted) return undefined
  try {
    const how = await (isNvme ? eraseNvmeSecurely : eraseAtaSecurely)(disk.name, options)
    if (how !== undefined) await eraseMetadata(disk, options)
    return how
  } catch (error) {
    throwIfAborted(options.signal)
    if (!settings.goesOnAfterFailure) throw error
    const message = 'secure erase failed, going on without it'
    warn(options.events, message, { device: disk.name }, error)
    return undefined
  }
}

/** By a manager that knows this disk; undefined if there is none. It may have had a reason to leave something. */
async function eraseByAnother(
  { others }: EraseDeps,
  { node }: StepCall,
  disk: Disk,
  { signal }: DiskErasure,
): Promise<string | undefined> {
  const erased = await others.ask('eraseBlockDevice', node, toWireDisk(disk), signal)
  return erased?.answer
}

async function overwrite(
  disk: Disk,
  { randomPasses, endsWithZeros }: EraseSettings,
  options: EraseOptions,
  meter: ProgressMeter,
): Promise<string> {
  const passes = { randomPasses, endsWithZeros }
  await overwriteDisk(disk.name, passes, { ...options, onBytes: (bytes) => meter.add(bytes) })
  return `overwritten: ${randomPasses} × random${endsWithZeros ? ', zeros' : ''}`
}

/** Nobody asked for it, and the next tenant may find there what the last one left. */
function warnOfLeftAlone(events: EventPublisher, { name, reason }: DiskLeftAlone): void {
  const error = new AgentError('ProtectedDeviceError', `${name} is not erased: ${reason}`)
  warn(events, 'disk left alone', { device: name, reason }, error)
}

/**
 * Erases what the plan allows, `disk_erasure_concurrency` disks at once. A disk that fails does not keep
 * the others from being erased. Throws BlockDeviceEraseError with every failure.
 */
async function eraseAll(
  deps: ErasePlanDeps,
  call: StepCall,
  settings: EraseSettings,
  erase: EraseDisk,
  {
    start,
    failsOnReadOnly = false,
  }: {
    readonly start?: (plan: ErasePlan) => void
    readonly failsOnReadOnly?: boolean
  } = {},
): Promise<Map<string, string>> {
  const { signal, events } = call.context
  await call.context.releaseDisks()
  const plan = await planErasure(deps, call.node, signal)
  start?.(plan)
  const results = new Map<string, string>()
  for (const disk of plan.leftAlone) {
    results.set(disk.name, `left alone: ${disk.reason}`)
    if (!disk.isWanted) warnOfLeftAlone(events, disk)
  }
  const failures: string[] = []
  for (const { name } of plan.readOnly) {
    if (failsOnReadOnly) failures.push(`${name} is read-only`)
    else results.set(name, 'skipped: read-only')
  }
  const waiting = [...plan.disks].sort((a, b) => (a.name < b.name ? -1 : 1))
  const worker = async () => {
    for (let disk = waiting.shift(); disk && !signal.aborted; disk = waiting.shift()) {
      try {
        const how = await erase(disk, { ...deps, signal, events })
        results.set(disk.name, how)
        deps.log.info({ device: disk.name, how, bytes: disk.sizeBytes }, 'disk erased')
      } catch (error) {
        failures.push(`${disk.name}: ${messageOf(error)}`)
      }
    }
  }
  const count = Math.min(settings.concurrency, waiting.length)
  await Promise.all(Array.from({ length: count }, worker))
  throwIfAborted(signal)
  if (failures.length === 0) return results
  throw new AgentError(
    'BlockDeviceEraseError',
    `${failures.length} of ${plan.disks.length + plan.readOnly.length} disks not erased: ${failures.join('; ')}`,
  )
}
