// SPDX-License-Identifier: Apache-2.0
// Owns which disks and volumes of a node other managers want to be left alone. Does not leave them alone
// (root-device-hints.ts).
import { AgentError } from '../../core/errors.ts'
import { isObject, type JsonObject, objectAt } from '../../core/json.ts'
import type { Disk } from '../inventory.ts'
import type { OtherManagers } from '../manager.ts'
import { toWireDisk } from '../wire-disk.ts'

export class SkipLists {
  /** Asked a second time, managers would look for their entries in a list of names. */
  readonly #answered = new WeakSet<JsonObject>()

  /**
   * The node with the `skip_block_devices` of the managers, where one has its own; one that came from here as it is.
   * Throws HardwareManagerConfigurationError for a name that no disk bears.
   */
  async nodeWith(
    node: JsonObject,
    managers: OtherManagers,
    disks: () => Promise<readonly Disk[]>,
  ): Promise<JsonObject> {
    if (this.#answered.has(node)) return node
    const volumes = await managers.ask('getSkipListFromNodeForRaids', node)
    const own = objectAt(node, 'properties')['skip_block_devices'] ?? []
    const names = await skippedNames(node, managers, disks)
    if ((!volumes && !names) || !Array.isArray(own)) return node
    const list = [
      ...(names?.answer.map((name) => ({ name: `s== ${name}` })) ??
        own.filter((entry) => !isVolume(entry))),
      ...(volumes?.answer.map((name) => ({ volume_name: name })) ?? own.filter(isVolume)),
    ]
    const properties = { ...objectAt(node, 'properties'), skip_block_devices: list }
    const changed = { ...node, properties }
    this.#answered.add(changed)
    return changed
  }
}

async function skippedNames(
  node: JsonObject,
  managers: OtherManagers,
  disks: () => Promise<readonly Disk[]>,
) {
  if (!managers.has('getSkipListFromNodeForDisks')) return undefined
  const known = await disks()
  const names = await managers.ask('getSkipListFromNodeForDisks', node, known.map(toWireDisk))
  for (const name of names?.answer ?? []) requireKnown(name, known)
  return names
}

function isVolume(entry: unknown): boolean {
  return isObject(entry) && 'volume_name' in entry
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
