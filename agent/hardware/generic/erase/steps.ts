// SPDX-License-Identifier: Apache-2.0
// Owns the steps that erase disks (contract 7.2, 7.3): several disks at once, by the best way each one
// has, with every failure told. Does not choose the disks (plan.ts) and does not write to them.
import { throwIfAborted } from '../../../core/deadline.ts'
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { EventPublisher } from '../../../core/events.ts'
import { warn } from '../../../telemetry/operation.ts'
import { createProgressMeter } from '../../../telemetry/progress-meter.ts'
import type { Disk } from '../../inventory.ts'
import type { OtherManagers, Step, StepCall, StepImplementation } from '../../manager.ts'
import { toWireDisk } from '../../wire-disk.ts'
import {
  bytesToPass,
  type EraseDisk,
  eraseMetadata,
  eraseSecurely,
  eraseWhole,
} from './erase-disk.ts'
import { type DiskLeftAlone, type ErasePlan, type ErasePlanDeps, planErasure } from './plan.ts'
import { type EraseSettings, readEraseSettings } from './settings.ts'

/** Ours: ironic-python-agent's steps take no arguments. */
const ARGUMENTS = {
  verify: {
    description:
      'How an erasure is proved by markers that are written before and looked for afterwards: sample, at 64 places; full, in ' +
      'each MiB, and every byte is read; off. The default is the option erase_verify.',
    required: false,
  },
  nvme_erase_method: {
    description:
      'How NVMe drives erase themselves: format, sanitize, or auto, which is format where the drive can, else sanitize. The ' +
      'default is the option nvme_erase_method.',
    required: false,
  },
} as const

export interface EraseDeps extends ErasePlanDeps {
  readonly others: Pick<OtherManagers, 'ask'>
}

/** The steps erase_devices_metadata, erase_devices and erase_devices_express. */
export function createEraseSteps(deps: EraseDeps): StepImplementation[] {
  const metadata = async (call: StepCall) => {
    const settings = readEraseSettings(call.node, deps.config)
    await eraseAll(deps, call, { settings, erase: eraseMetadata })
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
      announce: { ...cleanStep('erase_devices', 10), argsinfo: ARGUMENTS },
      accepts: Object.keys(ARGUMENTS),
      run: (call) => eraseDevices(deps, call),
    },
    {
      kinds: ['clean'],
      announce: { ...cleanStep('erase_devices_express', 0), argsinfo: ARGUMENTS },
      accepts: Object.keys(ARGUMENTS),
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

/** Every byte of every disk: by the drive itself where it can, else by overwriting. */
async function eraseDevices(deps: EraseDeps, call: StepCall) {
  const settings = readEraseSettings(call.node, deps.config, call.args)
  if (settings.randomPasses === 0 && !settings.endsWithZeros) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'agent_erase_devices_iterations is 0 and agent_erase_devices_zeroize is off: nothing would be erased',
    )
  }
  using meter = createProgressMeter({ now: () => performance.now(), events: call.context.events })
  const start = ({ disks }: ErasePlan) =>
    meter.begin(
      'erase',
      disks.reduce((sum, disk) => sum + bytesToPass(disk, settings), 0),
    )
  const erase: EraseDisk = async (disk, options) => {
    const how = await eraseByAnother(deps, call, disk)
    if (how === undefined) return await eraseWhole({ disk, settings, options, progress: meter })
    meter.add(bytesToPass(disk, settings))
    return how
  }
  const work = { settings, erase, start, failsOnReadOnly: !settings.skipsReadOnly }
  const results = await eraseAll(deps, call, work)
  return Object.fromEntries(results)
}

/** By a manager that knows this disk; undefined if there is none. It may have had a reason to leave something. */
async function eraseByAnother(
  { others }: EraseDeps,
  { node, context }: StepCall,
  disk: Disk,
): Promise<string | undefined> {
  const erased = await others.ask('eraseBlockDevice', node, toWireDisk(disk), context.signal)
  return erased?.answer
}

/** NVMe drives erase themselves within seconds; of the others the metadata. */
async function eraseExpress(deps: ErasePlanDeps, call: StepCall) {
  const settings = readEraseSettings(call.node, deps.config, call.args)
  // what was asked for by name is not exchanged for less
  const goesOnAfterFailure = !('verify' in call.args || 'nvme_erase_method' in call.args)
  const onlyNvme = { ...settings, usesAtaSecureErase: false, goesOnAfterFailure }
  const nothing = { add: () => undefined }
  const erase: EraseDisk = async (disk, options) => {
    const job = { disk, settings: onlyNvme, options, progress: nothing }
    return (await eraseSecurely(job)) ?? (await eraseMetadata(disk, options))
  }
  const results = await eraseAll(deps, call, { settings, erase })
  return Object.fromEntries(results)
}

/** Nobody asked for it, and the next tenant may find there what the last one left. */
function warnOfLeftAlone(events: EventPublisher, { name, reason }: DiskLeftAlone): void {
  const error = new AgentError('ProtectedDeviceError', `${name} is not erased: ${reason}`)
  warn(events, 'disk left alone', { device: name, reason }, error)
}

interface ErasureOfAll {
  readonly settings: Pick<EraseSettings, 'concurrency'>
  readonly erase: EraseDisk
  /** Hears of the plan before anything is erased. */
  readonly start?: (plan: ErasePlan) => void
  readonly failsOnReadOnly?: boolean
}

/**
 * Erases what the plan allows, `disk_erasure_concurrency` disks at once. A disk that fails does not keep
 * the others from being erased. Throws BlockDeviceEraseError with every failure.
 */
async function eraseAll(
  deps: ErasePlanDeps,
  call: StepCall,
  { settings, erase, start, failsOnReadOnly = false }: ErasureOfAll,
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
  await eachAtOnce(plan.disks, settings.concurrency, signal, async (disk) => {
    try {
      const how = await erase(disk, { ...deps, signal, events })
      results.set(disk.name, how)
      deps.log.info({ device: disk.name, how, bytes: disk.sizeBytes }, 'disk erased')
    } catch (error) {
      failures.push(`${disk.name}: ${messageOf(error)}`)
    }
  })
  throwIfAborted(signal)
  if (failures.length === 0) return results
  throw new AgentError(
    'BlockDeviceEraseError',
    `${failures.length} of ${plan.disks.length + plan.readOnly.length} disks not erased: ${failures.join('; ')}`,
  )
}

/** In the order of their names, so many at once; those that have not begun when the signal aborts never do. */
async function eachAtOnce(
  disks: readonly Disk[],
  concurrency: number,
  signal: AbortSignal,
  work: (disk: Disk) => Promise<void>,
): Promise<void> {
  const waiting = [...disks].sort((a, b) => (a.name < b.name ? -1 : 1))
  const worker = async () => {
    for (let disk = waiting.shift(); disk && !signal.aborted; disk = waiting.shift()) {
      await work(disk)
    }
  }
  const count = Math.min(concurrency, waiting.length)
  await Promise.all(Array.from({ length: count }, worker))
}
