// SPDX-License-Identifier: Apache-2.0
// Owns the `cpu` of the inventory (contract 6.1): lscpu, with /proc/cpuinfo for what it leaves out.
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { WireCpu } from '../inventory.ts'

/** The processors of this machine; unknown values are null. */
export async function readCpu(deps: {
  readonly exec: Exec
  readonly root: Root
}): Promise<WireCpu> {
  const [lscpu, cpuinfo] = await Promise.all([
    runLscpu(deps.exec),
    deps.root.readText('/proc/cpuinfo'),
  ])
  return parseCpu(lscpu, cpuinfo ?? '')
}

/** Puts the `Key: value` lines of lscpu and /proc/cpuinfo together. */
export function parseCpu(lscpu: string, cpuinfo: string): WireCpu {
  const facts = fieldsOf(lscpu)
  const first = fieldsOf(cpuinfo.split('\n\n')[0] ?? '')
  const flags = facts.get('Flags') ?? first.get('flags') ?? first.get('Features') ?? ''
  return {
    model_name: facts.get('Model name') ?? first.get('model name') ?? null,
    frequency: facts.get('CPU max MHz') ?? facts.get('CPU MHz') ?? first.get('cpu MHz') ?? null,
    count: numberOf(facts.get('CPU(s)')) ?? processorsIn(cpuinfo),
    architecture: facts.get('Architecture') ?? null,
    flags: flags.split(/\s+/).filter((flag) => flag !== ''),
    socket_count: numberOf(facts.get('Socket(s)')),
  }
}

async function runLscpu(exec: Exec): Promise<string> {
  try {
    return (await exec(['lscpu'], { timeoutMs: 10_000 })).stdout
  } catch {
    return ''
  }
}

function fieldsOf(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^\s*([^:]+?)\s*:\s*(.*?)\s*$/.exec(line)
    if (match?.[1] && match[2] && !fields.has(match[1])) fields.set(match[1], match[2])
  }
  return fields
}

function processorsIn(cpuinfo: string): number | null {
  return cpuinfo.match(/^processor\s*:/gm)?.length ?? null
}

function numberOf(text: string | undefined): number | null {
  const number = Number(text ?? '')
  return text && Number.isSafeInteger(number) ? number : null
}
