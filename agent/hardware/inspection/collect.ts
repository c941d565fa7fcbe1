// SPDX-License-Identifier: Apache-2.0
// Owns the collectors of in-band inspection by name, and running those that are asked for, one after the
// other (contract 6.2). A collector that fails ends no other. Does not post (ironic/inspection.ts).
import { anySignal, withDeadline } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import type { JsonObject } from '../../core/json.ts'
import { redactBounded } from '../../core/redact.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'
import type { Collector, CollectorDeps } from './collector.ts'
import { collectDefault } from './default-collector.ts'
import { collectDmi } from './dmi-decode.ts'
import { collectExtraHardware } from './extra-hardware.ts'
import { collectLldp } from './lldp.ts'
import { collectLogs } from './logs.ts'
import { collectNumaTopology } from './numa-topology.ts'
import { collectPciDevices } from './pci-devices.ts'
import { collectUsbDevices } from './usb-devices.ts'

const COLLECTORS: Readonly<Record<string, Collector>> = {
  default: collectDefault,
  logs: collectLogs,
  'extra-hardware': collectExtraHardware,
  'pci-devices': collectPciDevices,
  'usb-devices': collectUsbDevices,
  'numa-topology': collectNumaTopology,
  'dmi-decode': collectDmi,
  lldp: collectLldp,
}

export const COLLECTOR_NAMES: readonly string[] = Object.keys(COLLECTORS)

const USUAL = ['default', 'logs'] as const
/** A collector has deadlines of its own; this is for what hangs in spite of them, ms. */
const COLLECTOR_MS = 900_000
const MAX_FAILURES = 64

export interface Inspected {
  /** What is posted: the keys of the collectors, and `error`. */
  readonly data: JsonObject
  /** The same as `data.error`. */
  readonly error: string | null
}

/** Names in the order they run: logs last, because they tell of the others; each once. */
export function collectorNames(asked: readonly string[]): string[] {
  const names = [...new Set(asked.length > 0 ? asked : USUAL)]
  return [...names.filter((name) => name !== 'logs'), ...names.filter((name) => name === 'logs')]
}

/**
 * What the collectors of option `inspection_collectors` find. A name that nobody knows is an error that is
 * posted with what the others have found. Throws the signal's reason only.
 */
export async function collectInspection(
  deps: CollectorDeps,
  { signal, events }: { readonly signal: AbortSignal; readonly events: EventPublisher },
): Promise<Inspected> {
  const names = collectorNames(deps.config.inspection_collectors)
  const failures: string[] = []
  const fail = (what: string) => {
    deps.log.error({ what }, 'inspection: something failed')
    if (failures.length < MAX_FAILURES) failures.push(redactBounded(what, 1024))
  }
  const data: JsonObject = {}
  using meter = createProgressMeter({ now: () => performance.now(), events })
  meter.begin('inspect', names.length, { unit: 'items' })
  for (const [before, name] of names.entries()) {
    signal.throwIfAborted()
    meter.reach(before)
    meter.turnTo(name)
    const collector = COLLECTORS[name]
    if (collector === undefined) {
      fail(`collector ${name} is not known; there are ${COLLECTOR_NAMES.join(', ')}`)
      continue
    }
    try {
      Object.assign(data, await inTime(name, collector, { ...deps, names, fail }, signal))
    } catch (error) {
      signal.throwIfAborted()
      fail(`collector ${name} failed: ${messageOf(error)}`)
    }
  }
  meter.reach(names.length)
  const error =
    failures.length === 0
      ? null
      : `The following errors were encountered:\n${failures.map((item) => `* ${item}`).join('\n')}`
  return { data: { ...data, error }, error }
}

async function inTime(
  name: string,
  collector: Collector,
  call: Omit<Parameters<Collector>[0], 'signal'>,
  signal: AbortSignal,
): Promise<JsonObject> {
  const late = new AbortController()
  const limitMs = COLLECTOR_MS + call.config.inspection_dhcp_wait_timeout * 1000
  const work = collector({ ...call, signal: anySignal(signal, late.signal) })
  const ended = new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason)
    signal.addEventListener('abort', end, { once: true, signal: late.signal })
  })
  try {
    return await withDeadline(Promise.race([work, ended]), limitMs, () => {
      return new AgentError('InspectionError', `no end of ${name} after ${limitMs / 1000} s`)
    })
  } finally {
    late.abort()
  }
}
