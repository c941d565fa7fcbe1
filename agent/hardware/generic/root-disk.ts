// SPDX-License-Identifier: Apache-2.0
// Owns finding and waiting for a node's root disk (contract 5.4): candidates minus the skip list, hints
// from the node, and the wait for disks that appear late. Does not list disks (disks.ts).
import { sleep } from '../../core/deadline.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { isObject, type JsonObject, objectAt, stringAt } from '../../core/json.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Disk } from '../inventory.ts'
import type { RootVolumes } from '../raid/root-volume.ts'
import { chooseRootDisk, markSkipped, withoutSkipped } from '../root-device-hints.ts'
import type { Overrides } from './overrides.ts'

export interface RootDiskDeps {
  readonly listDisks: () => Promise<readonly Disk[]>
  readonly rootVolumes: RootVolumes
  readonly overrides: Pick<Overrides, 'nodeFor' | 'rootDisk'>
  readonly log: Logger
  /** Looks, 0 for none, and the pause between them, ms. */
  readonly waitAttempts: number
  readonly waitDelayMs: number
}

export interface RootDiskFinder {
  /** The disks that `properties.skip_block_devices` does not name. */
  list(node: JsonObject | undefined): Promise<Disk[]>
  /** All disks; those that it names are left alone, as others are (`Disk.leftAlone`). */
  listMarked(node: JsonObject | undefined): Promise<Disk[]>
  /** Throws DeviceNotFound, InvalidCommandParamsError. */
  find(node: JsonObject | undefined): Promise<Disk>
  /** See HardwareMethods.waitForDisks. */
  wait(node: JsonObject | undefined, signal: AbortSignal): Promise<boolean>
}

/** A finder that has not waited for any node yet. */
export function createRootDiskFinder(deps: RootDiskDeps): RootDiskFinder {
  let last: { readonly nodeUuid: string; readonly isFound: boolean } | undefined

  const skipListFor = async (node: JsonObject | undefined, disks: readonly Disk[]) =>
    skipListOf(node && (await deps.overrides.nodeFor(node, async () => disks)))
  const list = async (node: JsonObject | undefined) => {
    const disks = (await deps.listDisks()).filter(({ isHidden }) => !isHidden)
    return withoutSkipped(disks, await skipListFor(node, disks))
  }
  const listMarked = async (node: JsonObject | undefined) => {
    const disks = await deps.listDisks()
    return markSkipped(disks, await skipListFor(node, disks))
  }
  const find = async (node: JsonObject | undefined) => {
    const marked = await listMarked(node)
    const { root, disks } = deps.rootVolumes.among(node, marked)
    return (
      root ??
      (await deps.overrides.rootDisk(node, disks)) ??
      chooseRootDisk(disks, rootDeviceHints(node))
    )
  }

  const wait: RootDiskFinder['wait'] = async (node, signal) => {
    const nodeUuid = stringAt(node, 'uuid') ?? ''
    if (last?.nodeUuid === nodeUuid) return last.isFound
    for (let attempt = 1; attempt <= deps.waitAttempts; attempt++) {
      const outcome = await look(find, node)
      if (outcome !== 'absent') {
        last = { nodeUuid, isFound: outcome === 'found' }
        return last.isFound
      }
      deps.log.debug({ attempt, attempts: deps.waitAttempts }, 'root disk not there yet')
      if (!(await paused(deps.waitDelayMs, signal))) return false
    }
    if (deps.waitAttempts > 0) deps.log.warn({ node_uuid: nodeUuid }, 'no root disk after the wait')
    last = { nodeUuid, isFound: false }
    return false
  }
  return { list, listMarked, find, wait }
}

/** `instance_info.root_device`, else `properties.root_device`; undefined where both are empty. */
export function rootDeviceHints(node: JsonObject | undefined): JsonObject | undefined {
  for (const holder of ['instance_info', 'properties']) {
    const hints = objectAt(node, holder)['root_device']
    if (hints === undefined || hints === null || hints === '') continue
    if (!isObject(hints)) throw invalid(`${holder}.root_device must be an object of hints`)
    if (Object.keys(hints).length > 0) return hints
  }
  return undefined
}

/** `properties.skip_block_devices`. Throws InvalidCommandParamsError. */
export function skipListOf(node: JsonObject | undefined): JsonObject[] {
  const list = objectAt(node, 'properties')['skip_block_devices'] ?? []
  if (Array.isArray(list) && list.every(isObject)) return list
  throw invalid('properties.skip_block_devices must be a list of hint objects')
}

/** `hopeless`: hints nobody can understand, or lsblk itself fails. The step that needs the disk says so. */
async function look(
  find: RootDiskFinder['find'],
  node: JsonObject | undefined,
): Promise<'found' | 'absent' | 'hopeless'> {
  try {
    await find(node)
    return 'found'
  } catch (error) {
    return isAgentError(error, 'DeviceNotFound') ? 'absent' : 'hopeless'
  }
}

async function paused(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, signal)
    return true
  } catch {
    return false
  }
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
