// SPDX-License-Identifier: Apache-2.0
// Owns the way of a bootable container to a disk that boots (contract 5.10): pulled, installed by its own bootc, made
// bootable by us. After any failure nothing on the disk boots, and nothing of the container is left.
/// <reference lib="esnext.disposable" />
import { AgentError, toAgentError } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import { formatBytes } from '../../core/units.ts'
import { openBlockDevice } from '../../disk/block-device.ts'
import type { ConfigDriveImage } from '../../disk/configdrive/decode.ts'
import { type DeviceGeometry, readGeometry } from '../../disk/geometry.ts'
import { assertNotInUse } from '../../disk/in-use.ts'
import { readConfigDrive } from '../../image/plan/open-plan.ts'
import type { DeployImageDeps } from '../../image/request/deploy-request.ts'
import { makeBootable } from '../../image/target/make-bootable.ts'
import { openTargetDisk } from '../../image/target/target-disk.ts'
import { rereadPartitions } from '../../system/udev.ts'
import { operation } from '../../telemetry/operation.ts'
import type { WrittenImage } from '../written-image.ts'
import { openContainerStore } from './container-store.ts'
import { assertBootc, assertPodman, installTo, pull, rootMib } from './podman.ts'
import type { BootcRequest } from './request.ts'
import { openSplitDisk } from './split-disk.ts'

export type InstallDeps = Pick<DeployImageDeps, 'config' | 'exec' | 'root' | 'log' | 'now'>

export interface Installation {
  readonly request: BootcRequest
  readonly devicePath: string
  readonly signal: AbortSignal
  readonly events: EventPublisher
}

/**
 * Pulls the container and has it install itself. The disk is not touched before the container is there and has a bootc.
 * @throws AgentError InvalidImage (no podman here, no bootc there), CommandExecutionError (switched off),
 *   ImageDownloadError, ImageWriteError, and what disk and config drive throw
 */
export async function installContainer(
  installation: Installation,
  deps: InstallDeps,
): Promise<WrittenImage> {
  const { request, devicePath, events } = installation
  const fields = { image_id: request.reference, device: devicePath }
  return await operation(events, 'install container', fields, async (note) => {
    try {
      const written = await install(installation, deps)
      note({ hash: written.hash })
      return written
    } catch (error) {
      throw toAgentError(error)
    }
  })
}

async function install(
  { request, devicePath, signal }: Installation,
  deps: InstallDeps,
): Promise<WrittenImage> {
  const { config, exec, root, log } = deps
  const startedAtMs = deps.now()
  if (config.disable_bootc_deploy) {
    throw new AgentError(
      'CommandExecutionError',
      'bootable containers are not deployed here: disable_bootc_deploy',
    )
  }
  await assertPodman(exec)
  await assertNotInUse(root, devicePath)
  assertRoom(await readGeometry(root, devicePath))
  const configdrive = await readConfigDrive(request.configdrive, deps, signal)
  await using _store = await openContainerStore(deps)
  const digest = await pull(request, { ...deps, signal })
  await assertBootc(request, { ...deps, signal })

  const timeoutMs = config.disk_timeout * 1000
  await using target = await openTargetDisk(devicePath, { root, log, timeoutMs })
  const { geometry } = target.device
  // the installer cannot have it as long as we do
  await target.release()
  const rootUuid = await fillDisk({ request, geometry, configdrive, signal }, deps)
  await rereadPartitions(exec, devicePath).catch((err: unknown) => {
    log.debug({ device: devicePath, err }, 'partition table not re-read by the kernel')
  })
  target.keep()
  return {
    device: devicePath,
    imageId: request.reference,
    rootUuid,
    partitions: null,
    hash: digest,
    seconds: (deps.now() - startedAtMs) / 1000,
    bytes: { origin: 0, peers: 0, file: 0 },
  }
}

function assertRoom(geometry: DeviceGeometry): void {
  if (rootMib(geometry) > 0) return
  const size = formatBytes(geometry.sizeBytes)
  throw new AgentError(
    'DeploymentError',
    `${geometry.path} has ${size}, too small for an EFI partition, a config drive and a root file system`,
  )
}

interface Filling {
  readonly request: BootcRequest
  readonly geometry: DeviceGeometry
  readonly configdrive: ConfigDriveImage | null
  readonly signal: AbortSignal
}

/** All but what makes it boot by bootc, then that with the config drive, by us; the disk's identifier. */
async function fillDisk(
  { request, geometry, configdrive, signal }: Filling,
  deps: InstallDeps,
): Promise<string | null> {
  const { config, exec, root, log } = deps
  const { path } = geometry
  await using split = await openSplitDisk(geometry, { exec, folder: config.run_dir })
  await installTo(split.path, rootMib(geometry), request, { ...deps, signal })
  const held = await split.end()
  const timeoutMs = config.disk_timeout * 1000
  await using device = await openBlockDevice(path, { mode: 'write', root, log, timeoutMs })
  const { rootUuid } = await makeBootable({
    device,
    held,
    onOverwrite: () => undefined,
    imageArea: { offset: 0, length: device.geometry.sizeBytes },
    layout: null,
    table: null,
    configdrive,
    rebuild: config.config_drive_rebuild,
    onStage: () => undefined,
    exec,
    log,
    signal,
  })
  return rootUuid
}
