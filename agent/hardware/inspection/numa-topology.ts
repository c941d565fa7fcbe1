// SPDX-License-Identifier: Apache-2.0
// Owns the collector `numa-topology`: which memory, which cores and which interfaces belong to which NUMA node
// (contract 6.2; Documentation/admin-guide/mm/numaperf.rst, sysfs-devices-node).
import { AgentError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Root } from '../../system/root.ts'
import type { CollectorCall } from './collector.ts'

const NODES = '/sys/devices/system/node'
const INTERFACES = '/sys/class/net'

/**
 * A kernel without NUMA has no `numa_topology`, which is no failure: ironic-python-agent leaves it out. What a
 * node does not say leaves all of it out as well, since half a topology would be taken for the whole.
 */
export async function collectNumaTopology({ root, log }: CollectorCall): Promise<JsonObject> {
  const nodes = (await root.list(NODES)).filter((name) => /^node\d+$/.test(name))
  if (nodes.length === 0) {
    log.warn('inspection: the kernel knows of no NUMA nodes')
    return {}
  }
  const ids = nodes.map((name) => Number(name.slice('node'.length))).sort((a, b) => a - b)
  const ram = []
  const cpus = []
  for (const id of ids) {
    ram.push({ numa_node: id, size_kb: await readMemory(root, id) })
    cpus.push(...(await readCores(root, id)))
  }
  return { numa_topology: { ram, cpus, nics: await readInterfaces(root) } }
}

async function readMemory(root: Root, id: number): Promise<number> {
  const text = await root.readText(`${NODES}/node${id}/meminfo`)
  const found = /MemTotal:\s*(\d+) kB/.exec(text ?? '')?.[1]
  if (found === undefined) throw unknown(`the memory of NUMA node ${id}`)
  return Number(found)
}

interface Core {
  readonly cpu: number
  readonly numa_node: number
  readonly thread_siblings: number[]
}

/** A core by its id, which counts anew in each node, with the threads that run on it. */
async function readCores(root: Root, id: number): Promise<Core[]> {
  const cores = new Map<number, Core>()
  const names = (await root.list(`${NODES}/node${id}`)).filter((name) => /^cpu\d+$/.test(name))
  const threads = names.map((name) => Number(name.slice('cpu'.length))).sort((a, b) => a - b)
  for (const thread of threads) {
    const text = await root.readText(`${NODES}/node${id}/cpu${thread}/topology/core_id`)
    // a processor that is offline has no topology
    if (text === undefined) continue
    const cpu = Number(text)
    if (text === '' || !Number.isSafeInteger(cpu)) throw unknown(`the core of processor ${thread}`)
    const core = cores.get(cpu) ?? { cpu, numa_node: id, thread_siblings: [] }
    core.thread_siblings.push(thread)
    cores.set(cpu, core)
  }
  return [...cores.values()]
}

/** Those whose device says where it is; -1 means that the firmware did not tell. */
async function readInterfaces(root: Root): Promise<{ name: string; numa_node: number }[]> {
  const found = []
  for (const name of await root.list(INTERFACES)) {
    const text = await root.readText(`${INTERFACES}/${name}/device/numa_node`)
    if (text === undefined) continue
    const id = Number(text)
    if (text === '' || !Number.isSafeInteger(id)) throw unknown(`the NUMA node of ${name}`)
    found.push({ name, numa_node: id })
  }
  return found
}

function unknown(what: string): AgentError {
  return new AgentError('InspectionError', `the kernel does not tell ${what}`)
}
