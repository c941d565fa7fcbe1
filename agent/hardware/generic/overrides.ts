// SPDX-License-Identifier: Apache-2.0
// Owns where other managers come before the generic one: which disks and interfaces there are, what is hidden of them,
// what is left alone, which is the root disk. Does not find anything out itself.
import { AgentError, isAgentError } from '../../core/errors.ts'
import { isObject, type JsonObject, objectAt } from '../../core/json.ts'
import type { Disk, WireDisk, WireInterface } from '../inventory.ts'
import type { HardwareAnswer, HardwareMethod, HardwareMethods, OtherManagers } from '../manager.ts'
import { describedAs, toWireDisk } from '../wire-disk.ts'

/** What the others say. Before they are known, nothing. */
export interface Overrides {
  readonly others: Pick<OtherManagers, 'ask'>
  join(others: OtherManagers): void
  /** The answer of another manager, else of `own`. */
  orOwn<M extends HardwareMethod>(
    method: M,
    args: Parameters<HardwareMethods[M]>,
    own: () => ReturnType<HardwareMethods[M]>,
  ): Promise<HardwareAnswer<M>>
  /**
   * The disks that another manager lists, else `listed`; those that one hides are left alone and say so.
   * @param list describes those of the paths; all of the machine if there are none
   */
  disks(
    listed: readonly string[],
    list: (listed: readonly string[]) => Promise<readonly Disk[]>,
  ): Promise<Disk[]>
  /** The interfaces, each as another manager describes it, else as `own` does; without those that one hides. */
  interfaces(
    names: readonly string[],
    own: (name: string) => Promise<WireInterface>,
  ): Promise<WireInterface[]>
  /**
   * The node with the `skip_block_devices` of another manager, where one has its own; a node that has them already as it
   * is. Throws HardwareManagerConfigurationError for a name that no disk bears.
   */
  nodeFor(node: JsonObject, disks: () => Promise<readonly Disk[]>): Promise<JsonObject>
  /** The disk that another manager chooses. Throws DeviceNotFound if it cannot be one. */
  rootDisk(node: JsonObject | undefined, disks: readonly Disk[]): Promise<Disk | undefined>
}

const HIDDEN = 'a hardware manager hides it'
const NOT_LISTED = 'the hardware manager that lists the disks leaves it out'

/** It stays among the disks, so that arrays that lie on it are known to. */
function hidden(disk: Disk, reason: string): Disk {
  return { ...disk, isHidden: true, leftAlone: { reason, isWanted: true } }
}

const NOBODY: OtherManagers = {
  has: () => false,
  stepNames: () => [],
  ask: async () => undefined,
}

export function createOverrides(): Overrides {
  let others = NOBODY
  /** Asked a second time, managers would look for their entries in a list of names. */
  const answered = new WeakSet<JsonObject>()
  const ask: OtherManagers['ask'] = (method, ...args) => others.ask(method, ...args)
  const orOwn: Overrides['orOwn'] = async <M extends HardwareMethod>(
    method: M,
    args: Parameters<HardwareMethods[M]>,
    own: () => ReturnType<HardwareMethods[M]>,
  ): Promise<HardwareAnswer<M>> => {
    const given = await ask(method, ...args)
    return given ? given.answer : ((await own()) as HardwareAnswer<M>)
  }
  const filtered = async <T extends WireDisk | WireInterface>(
    kind: 'disk' | 'interface',
    device: T,
  ) => (await orOwn('filterDevice', [kind, device], async () => device)) as T | null

  const skippedNames = async (node: JsonObject, disks: () => Promise<readonly Disk[]>) => {
    if (!others.has('getSkipListFromNodeForDisks')) return undefined
    const known = await disks()
    const names = await ask('getSkipListFromNodeForDisks', node, known.map(toWireDisk))
    for (const name of names?.answer ?? []) requireKnown(name, known)
    return names
  }

  return {
    others: { ask },
    join: (all) => {
      others = all
    },
    orOwn,
    disks: async (listed, list) => {
      const given = listed.length > 0 ? undefined : (await ask('listDisks'))?.answer
      const own = await list(listed)
      const disks = given ? await withAdded(given, own, list) : own
      const wireOf = (disk: Disk) =>
        given ? given.find(({ name }) => name === disk.name) : toWireDisk(disk)
      return await Promise.all(
        disks.map(async (disk) => {
          const wire = wireOf(disk)
          if (wire === undefined) return hidden(disk, NOT_LISTED)
          const kept = await filtered('disk', wire)
          return kept === null ? hidden(disk, HIDDEN) : describedAs(disk, kept)
        }),
      )
    },
    interfaces: async (names, own) => {
      const found: WireInterface[] = []
      for (const name of names) {
        const device = await describedOrNot(() =>
          orOwn('getInterfaceInfo', [name], () => own(name)),
        )
        const kept = device && (await filtered('interface', device))
        if (kept) found.push(kept)
      }
      return found
    },
    nodeFor: async (node, disks) => {
      if (answered.has(node)) return node
      const volumes = await ask('getSkipListFromNodeForRaids', node)
      const own = objectAt(node, 'properties')['skip_block_devices'] ?? []
      const names = await skippedNames(node, disks)
      if ((!volumes && !names) || !Array.isArray(own)) return node
      const isVolume = (entry: unknown) => isObject(entry) && 'volume_name' in entry
      const list = [
        ...(names?.answer.map((name) => ({ name: `s== ${name}` })) ??
          own.filter((entry) => !isVolume(entry))),
        ...(volumes?.answer.map((name) => ({ volume_name: name })) ?? own.filter(isVolume)),
      ]
      const properties = { ...objectAt(node, 'properties'), skip_block_devices: list }
      const changed = { ...node, properties }
      answered.add(changed)
      return changed
    },
    rootDisk: async (node, disks) => {
      const chosen = await ask('chooseOsInstallDevice', node)
      if (!chosen) return undefined
      const path = chosen.answer
      const disk = disks.find(({ name, links }) => name === path || links.includes(path))
      if (disk && disk.leftAlone === null && !disk.isReadOnly) return disk
      const why = disk ? (disk.leftAlone?.reason ?? 'it is read-only') : 'it is no disk'
      throw new AgentError(
        'DeviceNotFound',
        `a hardware manager chooses ${path} as the root disk: ${why}`,
      )
    },
  }
}

/** What is to be left alone and is not found would be erased. */
function requireKnown(path: string, disks: readonly Disk[]): void {
  const isNamed = disks.some(({ name, links, partitions }) =>
    [{ name, links }, ...partitions].some(
      (each) => each.name === path || each.links.includes(path),
    ),
  )
  if (isNamed) return
  const names = disks.map(({ name }) => name).join(', ')
  throw new AgentError(
    'HardwareManagerConfigurationError',
    `a hardware manager names ${path} to be skipped, and no disk bears that name; there are ${names}: name it by its whole path`,
  )
}

/** With those that the kernel does not count among the disks. */
async function withAdded(
  named: readonly WireDisk[],
  own: readonly Disk[],
  list: (listed: readonly string[]) => Promise<readonly Disk[]>,
): Promise<readonly Disk[]> {
  const known = new Set(own.map(({ name }) => name))
  const missing = named.map(({ name }) => name).filter((name) => !known.has(name))
  if (missing.length === 0) return own
  const added = await list(missing)
  return [...own, ...added.map((disk) => ({ ...disk, isListed: false }))]
}

/** Undefined for an interface that no manager can describe. */
async function describedOrNot<T>(describe: () => Promise<T>): Promise<T | undefined> {
  try {
    return await describe()
  } catch (error) {
    if (isAgentError(error, 'IncompatibleHardwareMethodError')) return undefined
    throw error
  }
}
