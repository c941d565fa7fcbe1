// SPDX-License-Identifier: Apache-2.0
// Owns the `standby` extension: writing an image on request, its partition UUIDs, and the machine's end
// (contract 5.2, 5.6). Does not write, sync or switch off by itself.
import { type AnyCommand, command, type Extension } from '../agent/commands/command.ts'
import { withDeadline } from '../agent/core/deadline.ts'
import { AgentError } from '../agent/core/errors.ts'
import { type JsonObject, objectAt } from '../agent/core/json.ts'
import { parseBootcRequest } from '../agent/deploy/bootc/request.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import type { PartitionKind } from '../agent/disk/partitioning/disk-layout.ts'
import { uuidOf, type WrittenPartitions } from '../agent/disk/partitioning/written-partitions.ts'
import { answerInTime, assertOnly, noParams } from './params.ts'

/**
 * The conductor polls the power state 7 times 5 s and then switches off hard (contract 5.6): the flush
 * before it must end early enough for an orderly power-off, ms.
 */
const FLUSH_DEADLINE_MS = 20_000

/** standby.prepare_image, execute_bootc_install, get_partition_uuids, power_off, run_image and sync. */
export function createStandbyExtension(deps: ExtensionDeps): Extension {
  const flushed: FlushedImage = { image: undefined }
  return {
    name: 'standby',
    commands: {
      prepare_image: createPrepareImage(deps),
      execute_bootc_install: createBootcInstall(deps),
      get_partition_uuids: createPartitionUuids(deps),
      power_off: createPowerOff(deps),
      run_image: createRunImage(deps, flushed),
      sync: createSync(deps, flushed),
    },
  }
}

/** The written image that standby.sync has brought to the disk: Ironic asks for it where a deploy ends, and nowhere else. */
interface FlushedImage {
  image: ReturnType<ExtensionDeps['deploy']['images']['lastWritten']>
}

function createPrepareImage(deps: ExtensionDeps): AnyCommand {
  return command({
    kind: 'async',
    parse: (params) => {
      assertOnly('standby.prepare_image', params, ['image_info', 'configdrive'])
      const node = deps.nodeCache.current()
      return deps.deploy.images.parse(params['image_info'], params['configdrive'], node)
    },
    run: async (image, context) => {
      const node = await nodeWithHints(deps, context.signal)
      return await deps.deploy.images.write(image, node, context)
    },
  })
}

/** As the step of the same name, by a driver that calls it itself. */
function createBootcInstall(deps: ExtensionDeps): AnyCommand {
  const name = 'standby.execute_bootc_install'
  return command({
    kind: 'async',
    parse: (params) => {
      assertOnly(name, params, ['image_source', 'instance_info', 'pull_secret', 'configdrive'])
      const { image_source, pull_secret, configdrive } = params
      return parseBootcRequest(
        { imageSource: image_source, pullSecret: pull_secret, configdrive },
        objectAt(params, 'instance_info'),
      )
    },
    run: async (request, context) => {
      const node = await nodeWithHints(deps, context.signal)
      return await deps.deploy.images.write(request, node, context)
    },
  })
}

/** The cached node, looked up again if it names no root device (contract 5.4, permit_refresh). */
async function nodeWithHints(deps: ExtensionDeps, signal: AbortSignal) {
  const node = deps.nodeCache.current()
  const hasHints = ['instance_info', 'properties'].some(
    (holder) => Object.keys(objectAt(objectAt(node, holder), 'root_device')).length > 0,
  )
  if (hasHints) return node
  try {
    const fresh = await deps.refreshNode(signal)
    if (fresh) deps.nodeCache.set(fresh)
    return fresh ?? node
  } catch (err) {
    deps.log.warn({ err }, 'node not refreshed')
    return node
  }
}

/** The keys have spaces, and `{}` says that nothing was written (contract 5.2). */
function createPartitionUuids(deps: ExtensionDeps): AnyCommand {
  return command({
    kind: 'sync',
    parse: noParams('standby.get_partition_uuids'),
    run: async () => {
      const written = deps.deploy.images.lastWritten()
      if (written?.partitions) return partitionUuids(written.partitions)
      const rootUuid = written?.rootUuid
      return rootUuid === undefined || rootUuid === null ? {} : { 'root uuid': rootUuid }
    },
  })
}

/** By the names of ironic-python-agent, which lists no BIOS boot partition. */
const WIRE_NAMES: Readonly<Partial<Record<PartitionKind, string>>> = {
  esp: 'efi system partition',
  prep: 'PReP Boot partition',
  ephemeral: 'ephemeral',
  swap: 'swap',
  configdrive: 'configdrive',
  root: 'root',
}

function partitionUuids(written: WrittenPartitions): JsonObject {
  const named = written.list.flatMap(({ kind, path }) => {
    const name = WIRE_NAMES[kind]
    return name === undefined ? [] : [[name, path] as const]
  })
  const prep = uuidOf(written, 'prep')
  return {
    partitions: Object.fromEntries(named),
    'root uuid': uuidOf(written, 'root'),
    'efi system partition uuid': uuidOf(written, 'esp'),
    ...(prep === null ? {} : { 'PReP Boot partition uuid': prep }),
  }
}

/**
 * Flushes and ends the machine: peers first, because they hold the disk open.
 * @param end resolves to the command's result
 */
function createMachineEnd(
  deps: ExtensionDeps,
  name: string,
  end: (signal: AbortSignal) => Promise<string | null>,
): AnyCommand {
  return command({
    kind: 'async',
    parse: noParams(name),
    run: async (_params, { signal }) => {
      await deps.deploy.seeding.release(name)
      await flushInTime(deps, signal)
      return await end(signal)
    },
  })
}

function createPowerOff(deps: ExtensionDeps): AnyCommand {
  return createMachineEnd(deps, 'standby.power_off', async () => {
    await deps.deploy.power.powerOff()
    return null
  })
}

/**
 * A reboot, or with the option `kexec` the instance's own kernel; the result then says which, and why. The conductor ends a
 * deploy by sync and run_image, one after the other; run_image alone is the reboot that a deploy step asks for, and what is
 * on the disk is half of an instance (contract 8.4, 8.8).
 */
function createRunImage(deps: ExtensionDeps, flushed: FlushedImage): AnyCommand {
  const { config, deploy, log } = deps
  return createMachineEnd(deps, 'standby.run_image', async (signal) => {
    const written = config.kexec ? deploy.images.lastWritten() : undefined
    if (written !== undefined && written !== flushed.image) {
      const sentence =
        'the machine is rebooted by its firmware: the deploy has not ended, for standby.sync did not come before standby.run_image'
      log.info({ device: written.device }, sentence)
      await deploy.power.reboot()
      return sentence
    }
    const start = written && (await deploy.prepareInstanceStart(signal))
    await (start?.go() ?? deploy.power.reboot())
    return start?.sentence ?? null
  })
}

/** Ending the machine syncs once more, so a disk that hangs must not keep it on. */
async function flushInTime(deps: ExtensionDeps, signal: AbortSignal): Promise<void> {
  const expiry = new AbortController()
  try {
    const flush = deps.hardware.dispatchAll('fullSync', AbortSignal.any([signal, expiry.signal]))
    await withDeadline(flush, FLUSH_DEADLINE_MS, () => {
      expiry.abort()
      return new AgentError('BlockDeviceError', `no end after ${FLUSH_DEADLINE_MS / 1000} s`)
    })
  } catch (err) {
    deps.log.warn({ err }, 'disks not flushed')
  }
}

function createSync(deps: ExtensionDeps, flushed: FlushedImage): AnyCommand {
  return command({
    kind: 'sync',
    parse: noParams('standby.sync'),
    run: (_params, context) =>
      answerInTime('standby.sync', context.signal, async (signal) => {
        const written = deps.deploy.images.lastWritten()
        await deps.hardware.dispatchAll('fullSync', signal)
        flushed.image = written
        return null
      }),
  })
}
