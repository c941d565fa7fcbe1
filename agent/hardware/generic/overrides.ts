// SPDX-License-Identifier: Apache-2.0
// Owns where other managers come before the generic one: which disks and interfaces there are, what is hidden of them,
// what is left alone, which is the root disk. Does not find anything out itself.
import { AgentError, isAgentError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Disk, WireDisk, WireInterface } from '../inventory.ts'
import type { HardwareAnswer, HardwareMethod, HardwareMethods, OtherManagers } from '../manager.ts'
import { describedAs, toWireDisk } from '../wire-disk.ts'
import { SkipLists } from './skip-lists.ts'

/** Describes the disks of these paths; all of the machine if there are none. */
type ListDisks = (listed: readonly string[]) => Promise<readonly Disk[]>

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

/** What the others say. Before they are known, nothing. */
export class Overrides {
  readonly others: Pick<OtherManagers, 'ask'> = {
    ask: (method, ...args) => this.#others.ask(method, ...args),
  }
  #others = NOBODY
  readonly #skipLists = new SkipLists()

  join(others: OtherManagers): void {
    this.#others = others
  }

  /** The answer of another manager, else of `own`. */
  async orOwn<M extends HardwareMethod>(
    method: M,
    args: Parameters<HardwareMethods[M]>,
    own: () => ReturnType<HardwareMethods[M]>,
  ): Promise<HardwareAnswer<M>> {
    const given = await this.others.ask(method, ...args)
    return given ? given.answer : ((await own()) as HardwareAnswer<M>)
  }

  /**
   * The disks that another manager lists, else `listed`; those that one hides are left alone and say so.
   * @param list describes those of the paths; all of the machine if there are none
   */
  async disks(listed: readonly string[], list: ListDisks): Promise<Disk[]> {
    const given = listed.length > 0 ? undefined : (await this.others.ask('listDisks'))?.answer
    const own = await list(listed)
    const disks = given ? await withAdded(given, own, list) : own
    const wireOf = (disk: Disk) =>
      given ? given.find(({ name }) => name === disk.name) : toWireDisk(disk)
    return await Promise.all(
      disks.map(async (disk) => {
        const wire = wireOf(disk)
        if (wire === undefined) return hidden(disk, NOT_LISTED)
        const kept = await this.#filtered('disk', wire)
        return kept === null ? hidden(disk, HIDDEN) : describedAs(disk, kept)
      }),
    )
  }

  /** The interfaces, each as another manager describes it, else as `own` does; without those that one hides. */
  async interfaces(
    names: readonly string[],
    own: (name: string) => Promise<WireInterface>,
  ): Promise<WireInterface[]> {
    const found: WireInterface[] = []
    for (const name of names) {
      const device = await describedOrNot(() =>
        this.orOwn('getInterfaceInfo', [name], () => own(name)),
      )
      const kept = device && (await this.#filtered('interface', device))
      if (kept) found.push(kept)
    }
    return found
  }

  /**
   * The node with the `skip_block_devices` of another manager, where one has its own; a node that has them already as it
   * is. Throws HardwareManagerConfigurationError for a name that no disk bears.
   */
  async nodeFor(node: JsonObject, disks: () => Promise<readonly Disk[]>): Promise<JsonObject> {
    return await this.#skipLists.nodeWith(node, this.#others, disks)
  }

  /** The disk that another manager chooses. Throws DeviceNotFound if it cannot be one. */
  async rootDisk(node: JsonObject | undefined, disks: readonly Disk[]): Promise<Disk | undefined> {
    const chosen = await this.others.ask('chooseOsInstallDevice', node)
    if (!chosen) return undefined
    const path = chosen.answer
    const disk = disks.find(({ name, links }) => name === path || links.includes(path))
    if (disk && disk.leftAlone === null && !disk.isReadOnly) return disk
    const why = disk ? (disk.leftAlone?.reason ?? 'it is read-only') : 'it is no disk'
    throw new AgentError(
      'DeviceNotFound',
      `a hardware manager chooses ${path} as the root disk: ${why}`,
    )
  }

  async #filtered<T extends WireDisk | WireInterface>(
    kind: 'disk' | 'interface',
    device: T,
  ): Promise<T | null> {
    return (await this.orOwn('filterDevice', [kind, device], async () => device)) as T | null
  }
}

/** With those that the kernel does not count among the disks. */
async function withAdded(
  named: readonly WireDisk[],
  own: readonly Disk[],
  list: ListDisks,
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
