// SPDX-License-Identifier: Apache-2.0
// Owns everything that can be known and refused before the disk is touched: servers, facts, plan, config
// drive. `ironswarm plan` ends here.
import { anySignal } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { MiB } from '../../core/units.ts'
import { openBlockDevice } from '../../disk/block-device.ts'
import { configDrivePartitionBytes } from '../../disk/configdrive/configdrive.ts'
import { type ConfigDriveImage, decodeConfigDrive } from '../../disk/configdrive/decode.ts'
import { type DeviceGeometry, readGeometry } from '../../disk/geometry.ts'
import type { DiskLayout, LayoutRequest } from '../../disk/partitioning/disk-layout.ts'
import { readKeptTable } from '../../disk/partitioning/kept-table.ts'
import { assertApart } from '../../disk/same-storage.ts'
import { createHttpClient } from '../../http/client.ts'
import { pathOf } from '../../sources/file.ts'
import { isUefi } from '../../system/efi.ts'
import { type ClusterMap, fitsSectors } from '../formats/qcow2/straight/cluster-map.ts'
import type { ImageRequest, PlanDeps } from '../request/deploy-request.ts'
import { type DownloadDeadline, downloadDeadline } from '../request/download-deadline.ts'
import type { ConfigDriveText } from '../request/image-info.ts'
import { describePlan } from './describe.ts'
import { gatherImageFacts } from './image-facts.ts'
import { sizeOfImage } from './image-size.ts'
import { type ImageServers, openImageServers } from './image-sources.ts'
import { type Plan, planImage, requirePlannable, requireWritable } from './plan.ts'
import { hasRoomForRest } from './unpacking.ts'

/** A plan with what it takes to follow it. Disposal closes the connections to the servers. */
export interface OpenPlan extends AsyncDisposable {
  readonly plan: Plan
  readonly servers: ImageServers
  /** Runs already: asking the servers is a part of the download (contract 5.3.1). */
  readonly deadline: DownloadDeadline
  /** The file system image of the config drive; null for none. */
  readonly configdrive: ConfigDriveImage | null
}

/** Contract 5.3.8: one attempt, without the image's proxies and credentials. */
const CONFIG_DRIVE_TIMEOUT_MS = 60_000
/** base64 of a gzip of 64 MiB. */
const MAX_CONFIG_DRIVE_TEXT_BYTES = 96 * MiB

/**
 * Asks and decides. Throws what planImage, gatherImageFacts, sizeOfImage and assertApart throw, or
 * ImageDownloadTimeoutError.
 */
export async function openPlan(
  request: ImageRequest,
  cancelled: AbortSignal,
  deps: PlanDeps,
): Promise<OpenPlan> {
  const { imageInfo } = request
  requireWritable(imageInfo)
  for (const url of imageInfo.urls) {
    if (url.startsWith('file:')) await assertApart(deps.root, pathOf(url), request.devicePath)
  }
  const disk = await readGeometry(deps.root, request.devicePath)
  const servers = openImageServers(imageInfo, deps)
  const deadline = downloadDeadline(deps.config.image_download_max_duration)
  const signal = anySignal(cancelled, deadline.signal)
  try {
    const answers = await gatherImageFacts(imageInfo, servers.http, deps.config, signal, {
      check: (known) => requirePlannable(imageInfo, known, deps.config),
      goesStraight: (map) => mayGoStraight(request, map, disk),
    })
    const sizeBytes = await sizeOfImage(answers, servers.http, disk.sizeBytes, signal)
    const configdrive = await readConfigDrive(request.configdrive, deps, signal)
    const plan = planImage(imageInfo, { ...answers, sizeBytes }, disk, {
      config: deps.config,
      hasConfigdrive: configdrive !== null,
      layoutRequest: await layoutRequestOf(imageInfo, configdrive, disk, deps),
    })
    const { layout } = plan.target
    if (layout?.preservesEphemeral) await assertTableFits(request.devicePath, layout, deps)
    deps.log.info({ image_id: imageInfo.id, plan: describePlan(plan) }, 'image planned')
    return { plan, servers, deadline, configdrive, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }

  async function close(): Promise<void> {
    deadline[Symbol.dispose]()
    await servers[Symbol.asyncDispose]()
  }
}

/** Of a partition image the layout decides, which is not known yet. */
function mayGoStraight(
  { imageInfo, configdrive }: ImageRequest,
  map: ClusterMap,
  disk: DeviceGeometry,
): boolean {
  if (imageInfo.partition !== null || !fitsSectors(map, disk.logicalSectorBytes)) return false
  const target = { disk, window: { offset: 0, length: disk.sizeBytes }, layout: null }
  return hasRoomForRest(
    { imageId: imageInfo.id, target, hasConfigdrive: configdrive !== null },
    map,
  )
}

/** What image_info, the config drive and this machine say of the partitions; null for a whole-disk image. */
async function layoutRequestOf(
  { partition }: ImageRequest['imageInfo'],
  configdrive: ConfigDriveImage | null,
  disk: DeviceGeometry,
  { root, config }: PlanDeps,
): Promise<LayoutRequest | null> {
  if (partition === null) return null
  const rebuild = config.config_drive_rebuild
  const bytes = configdrive ? configDrivePartitionBytes(configdrive, disk, rebuild) : 0
  return {
    ...partition,
    bootMode: partition.bootMode ?? ((await isUefi(root)) ? 'uefi' : 'bios'),
    isPpc64: process.arch === 'ppc64',
    configdriveMib: bytes / MiB,
  }
}

/** A table that stays has to be the one that is planned. Throws DeploymentError, BlockDeviceError. */
async function assertTableFits(
  path: string,
  layout: DiskLayout,
  { root, config }: PlanDeps,
): Promise<void> {
  const timeoutMs = config.disk_timeout * 1000
  await using device = await openBlockDevice(path, { mode: 'read', root, timeoutMs })
  await readKeptTable(device, layout)
}

/**
 * The config drive as Ironic sent it, decoded or fetched; null for none. Throws DeploymentError.
 */
export async function readConfigDrive(
  text: ConfigDriveText | null,
  deps: Pick<PlanDeps, 'config'>,
  signal: AbortSignal,
): Promise<ConfigDriveImage | null> {
  if (text === null) return null
  return await decodeConfigDrive(text, (url) => fetchConfigDrive(url, deps, signal))
}

async function fetchConfigDrive(
  url: string,
  { config }: Pick<PlanDeps, 'config'>,
  signal: AbortSignal,
): Promise<Uint8Array> {
  await using client = createHttpClient({ config })
  const response = await client.request(url, {
    signal,
    timeoutMs: CONFIG_DRIVE_TIMEOUT_MS,
    maxBytes: MAX_CONFIG_DRIVE_TEXT_BYTES,
  })
  if (response.status === 200) return response.bytes
  throw new AgentError('DeploymentError', `${redactUrl(url)}: status ${response.status}`)
}
