// SPDX-License-Identifier: Apache-2.0
// Owns the collector `extra-hardware`: the list that python-hardware's hardware-detect prints, where the ramdisk
// has it; else what the inventory and sysfs say, in the same form and by the same names (contract 6.2).
import { AgentError, messageOf } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { redact } from '../../core/redact.ts'
import { MiB } from '../../core/units.ts'
import type { Inventory } from '../inventory.ts'
import type { CollectorCall } from './collector.ts'
import { describeMachine, type ExtraItem } from './extra-items.ts'

/** The benchmarks of hardware-detect. */
const BENCHMARKS: readonly string[] = ['cpu', 'disk', 'mem']
const TIMEOUT_MS = 300_000
/** The benchmarks of a machine with many disks go on for a while; the bound of all collectors is a minute more. */
const BENCHMARK_TIMEOUT_MS = 840_000
const MAX_BYTES = 4 * MiB
/** Of system/exec.ts. */
const NO_PROGRAM = 'command not found'

/** Benchmarks that nobody can run are a failure: whoever asked for them would miss the figures. */
export async function collectExtraHardware(call: CollectorCall): Promise<JsonObject> {
  const asked = call.config.inspection_benchmarks
  const unknown = asked.filter((name) => !BENCHMARKS.includes(name))
  if (unknown.length > 0) {
    call.fail(`benchmark ${unknown.join(', ')} is not known; there are ${BENCHMARKS.join(', ')}`)
  }
  const benchmarks = asked.filter((name) => BENCHMARKS.includes(name))
  const data = await runHardwareDetect(call, benchmarks)
  if (data !== undefined) return { data }
  if (benchmarks.length > 0) {
    call.fail(
      `benchmark ${benchmarks.join(', ')} needs hardware-detect (python-hardware) in the ramdisk; ` +
        'leave ipa-inspection-benchmarks out for what is found without it',
    )
  }
  return { data: await describeFromInventory(call) }
}

/** Undefined where it is not installed. Throws InspectionError for what it does not manage. */
async function runHardwareDetect(
  { exec, signal }: CollectorCall,
  benchmarks: readonly string[],
): Promise<unknown[] | undefined> {
  const words = benchmarks.length > 0 ? ['--benchmark', ...benchmarks] : []
  const timeoutMs = benchmarks.length > 0 ? BENCHMARK_TIMEOUT_MS : TIMEOUT_MS
  let text: string
  try {
    const options = { timeoutMs, maxBytes: MAX_BYTES, signal }
    text = (await exec(['hardware-detect', ...words], options)).stdout
  } catch (cause) {
    if (messageOf(cause).includes(NO_PROGRAM)) return undefined
    throw new AgentError('InspectionError', messageOf(cause), { cause })
  }
  return parseList(text)
}

function parseList(text: string): unknown[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new AgentError('InspectionError', `hardware-detect: ${messageOf(cause)}`, { cause })
  }
  // the kernel line is in it, which may carry a token
  if (Array.isArray(json)) return json.map((item) => redact(item))
  throw new AgentError('InspectionError', 'hardware-detect printed no list')
}

async function describeFromInventory({ hardware, root }: CollectorCall): Promise<ExtraItem[]> {
  const inventory: Inventory = await hardware.dispatch('listHardwareInfo')
  return await describeMachine(inventory, root)
}
