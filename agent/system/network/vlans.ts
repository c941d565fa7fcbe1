// SPDX-License-Identifier: Apache-2.0
// Owns VLAN interfaces by option enable_vlan_interfaces (contract 1.2, 6.5): named ones, or those that the switch names by
// LLDP. Gives them no addresses: the ramdisk's DHCP client does, or a static network that names them.
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Exec } from '../exec.ts'
import { listenForLldp } from '../lldp/lldp.ts'
import { vlanIdsOf } from '../lldp/lldpdu.ts'
import { vlanName } from './interface-name.ts'
import { isMadeOfOthers, listLinks, type MachineLink } from './machine-links.ts'

export interface VlanDeps {
  readonly exec: Exec
  readonly log: Logger
  readonly signal: AbortSignal
}

export interface VlanRequest {
  /** `eth0.100`, `52:54:00:aa:00:01.100`; `eth0` or `all`: the VLANs that LLDP names there. */
  readonly wanted: readonly string[]
  /** How long a switch may keep silent, ms; 0: it is not listened to. */
  readonly lldpSilenceMs: number
  /** How long a driver may take to bring an interface that is named, ms. */
  readonly linkWaitMs: number
  /** Where is noted which interfaces were listened to: once in the life of the folder, for they keep silent mostly. */
  readonly runDir: string
}

interface Wish {
  readonly text: string
  /** Name or MAC address of the interface; `all`. */
  readonly link: string
  /** Undefined: the switch knows. */
  readonly vlanId: number | undefined
}

/** The first VLAN and the first bond wait for their driver to be loaded. */
const IP_TIMEOUT_MS = 60_000
const POLL_MS = 250
const NOTE_FILE = 'vlans-asked-of-switches'
const HIGHEST_VLAN_ID = 4094

/**
 * Makes what is not there yet; one that cannot be made is a warning. A switch that was listened to before is not again.
 * @returns the names of the VLAN interfaces that are wanted and there
 * Throws ProcessError if `ip` cannot be run.
 */
export async function bringUpVlans(request: VlanRequest, deps: VlanDeps): Promise<string[]> {
  const wishes = request.wanted.flatMap((text) => parseWish(text, deps.log) ?? [])
  if (wishes.length === 0) return []
  const links = await linksFor(wishes, request.linkWaitMs, deps)
  const pairs = wishes.flatMap((wish) => {
    const found = linksOf(wish, links)
    if (found.length === 0) {
      deps.log.warn({ wanted: wish.text }, `no VLAN interface: there is no interface ${wish.link}`)
    }
    return found.map(({ name }) => ({ name, vlanId: wish.vlanId }))
  })
  for (const { name } of pairs) await run(deps, 'ip', 'link', 'set', 'dev', name, 'up')
  const asked = [
    ...new Set(pairs.flatMap(({ name, vlanId }) => (vlanId === undefined ? name : []))),
  ]
  const told = asked.length === 0 ? new Map() : await idsBySwitch(asked, request, deps)
  const made: string[] = []
  for (const { name, vlanId } of pairs) {
    for (const id of vlanId === undefined ? (told.get(name) ?? []) : [vlanId]) {
      const vlan = await ensureVlan(name, id, links, deps)
      if (vlan !== undefined && !made.includes(vlan)) made.push(vlan)
    }
  }
  return made
}

function parseWish(text: string, log: VlanDeps['log']): Wish | undefined {
  const [, link = text, digits] = /^(.+)\.(\d+)$/.exec(text) ?? []
  const vlanId = digits === undefined ? undefined : Number(digits)
  if (vlanId !== undefined && !isVlanId(vlanId)) {
    log.warn({ wanted: text }, `no VLAN interface: ${digits} is not from 1 to ${HIGHEST_VLAN_ID}`)
    return undefined
  }
  return { text, link: link.toLowerCase().includes(':') ? link.toLowerCase() : link, vlanId }
}

function isVlanId(id: number): boolean {
  return id >= 1 && id <= HIGHEST_VLAN_ID
}

async function linksFor(wishes: readonly Wish[], waitMs: number, deps: VlanDeps) {
  const deadline = performance.now() + waitMs
  let links = await listLinks(deps.exec)
  while (wishes.some((wish) => linksOf(wish, links).length === 0)) {
    if (performance.now() >= deadline) break
    await sleep(POLL_MS, deps.signal)
    links = await listLinks(deps.exec)
  }
  // ensureVlan adds to it
  return links
}

function linksOf({ link }: Wish, links: readonly MachineLink[]): MachineLink[] {
  const own = links.filter((candidate) => !isMadeOfOthers(candidate))
  if (link === 'all') return own
  const named = links.find(({ name }) => name === link)
  return named ? [named] : own.filter(({ macs }) => macs.includes(link)).slice(0, 1)
}

async function idsBySwitch(asked: readonly string[], request: VlanRequest, deps: VlanDeps) {
  const note = join(request.runDir, NOTE_FILE)
  const noted = (await readFile(note, 'utf8').catch(() => '')).split('\n')
  const interfaces = asked.filter((name) => !noted.includes(name))
  if (interfaces.length === 0) return new Map()
  const heard = await listenForLldp(
    { interfaces, silenceMs: request.lldpSilenceMs, signal: deps.signal },
    deps,
  )
  throwIfAborted(deps.signal)
  await mkdir(request.runDir, { recursive: true, mode: 0o700 })
  await appendFile(note, interfaces.map((name) => `${name}\n`).join(''))
  return new Map(
    [...(heard ?? [])].map(([name, tlvs]) => [name, vlanIdsOf(tlvs).filter(isVlanId)] as const),
  )
}

/** The interface that is there, or is made; undefined where it cannot be: then nothing of it stays. */
async function ensureVlan(
  parent: string,
  vlanId: number,
  links: MachineLink[],
  deps: VlanDeps,
): Promise<string | undefined> {
  const there = links.find(({ vlan }) => vlan?.parent === parent && vlan.id === vlanId)
  const name =
    there?.name ?? vlanName(parent, vlanId, (taken) => links.some((l) => l.name === taken))
  const add = ['ip', 'link', 'add', 'link', parent, 'name', name] as const
  if (!there && !(await run(deps, ...add, 'type', 'vlan', 'id', `${vlanId}`))) return undefined
  if (await run(deps, 'ip', 'link', 'set', 'dev', name, 'up')) {
    if (!there) links.push({ name, macs: [], kind: 'vlan', vlan: { parent, id: vlanId } })
    deps.log.info({ name, parent, vlan_id: vlanId, is_new: !there }, 'VLAN interface')
    return name
  }
  if (!there) await run(deps, 'ip', 'link', 'delete', 'dev', name)
  return undefined
}

async function run(deps: VlanDeps, ...argv: ['ip', ...string[]]): Promise<boolean> {
  try {
    await deps.exec(argv, { timeoutMs: IP_TIMEOUT_MS, signal: deps.signal })
    return true
  } catch (error) {
    if (deps.signal.aborted) throw deps.signal.reason
    deps.log.warn({ command: argv.join(' '), reason: messageOf(error) }, 'VLAN interface')
    return false
  }
}
