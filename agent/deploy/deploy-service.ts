// SPDX-License-Identifier: Apache-2.0
// Owns the one deploy service: what the agent does to its machine on behalf of commands, each part with
// its dependencies filled in. Does not know commands; image/, disk/ and system/ do the work.
import type { Config } from '../config/options.ts'
import type { Random } from '../core/backoff.ts'
import { installUefiBootloader, type UefiBootloaderRequest } from '../disk/bootloader.ts'
import { type GrubRequest, installGrub } from '../disk/grub/install-grub.ts'
import { ASSEMBLY_PAUSE } from '../disk/md/assembly-pause.ts'
import { isSoftwareArray } from '../disk/md/member-disks.ts'
import { findRootUuid } from '../disk/root-uuid.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { createArenaBudget } from '../sources/swarm/thread/arena-budget.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'
import { installContainer } from './bootc/install-container.ts'
import { createImageWriter, type ImageWriter } from './image-writer.ts'
import { type InstanceStart, prepareInstanceStart } from './instance-start.ts'
import { createPowerControl, type PowerControl } from './power-control.ts'
import type { RackName } from './rack.ts'
import { createSeedingKeeper, type SeedingKeeper } from './seeding-keeper.ts'
import { writeImage } from './write-image.ts'
import { openWrittenImage } from './written-image.ts'

/** A UEFI set-up of the root disk (contract 5.5). */
export type BootloaderRequest = Pick<
  UefiBootloaderRequest,
  'devicePath' | 'efiSystemPartUuid' | 'events' | 'signal'
>

/** What the image's own GRUB is to do (contract 5.5). */
export type GrubInstallation = Omit<
  GrubRequest,
  'exec' | 'root' | 'log' | 'machineControl' | 'pausePath'
>

export interface DeployService {
  readonly images: ImageWriter
  readonly seeding: SeedingKeeper
  readonly power: PowerControl
  /**
   * How the instance of the last written image is to be started: by its own kernel where that can be loaded, else by a
   * reboot. Undefined where this boot has written none.
   */
  prepareInstanceStart(signal: AbortSignal): Promise<InstanceStart | undefined>
  /**
   * True when boot entries were made, false when the ESP holds no loader. Of an array the ESP moves to its members, which
   * ends seeding. Throws DeviceNotFound, DeploymentError, ProcessError.
   */
  installUefiBootloader(request: BootloaderRequest): Promise<boolean>
  /**
   * Runs programs of the image, which is a stranger's: who asks has made sure that they may run. Ends seeding, for the
   * image on the disk changes. Throws DeviceNotFound, InvalidImage, ProcessError.
   */
  installGrub(request: GrubInstallation): Promise<void>
  /** What of this disk the UUID names. Throws DeviceNotFound, BlockDeviceError. */
  findRootUuid(devicePath: string, rootUuid: string): Promise<'disk' | 'partition' | undefined>
}

export interface DeployServiceDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly random: Random
  readonly hardware: Hardware
  readonly rack: Pick<RackName, 'current' | 'found'>
  /** Instead of an end that `machine_control=log` only logs. */
  readonly onMachineEnd: (reason: string) => void
}

const IMAGE_CHANGES = 'the boot loader changes the image'

/** Nothing is seeded or ended yet; what this boot has written is known. */
export function createDeployService(deps: DeployServiceDeps): DeployService {
  const { config, exec, root, log, random, hardware, rack } = deps
  const seeding = createSeedingKeeper({ log })
  const swarmMemory = createArenaBudget(config.swarm_memory)
  const images = createImageWriter({
    config,
    hardware,
    seeding,
    record: openWrittenImage(config.run_dir, log),
    writeImage: (request) =>
      writeImage(request, {
        config: { ...config, swarm_rack: rack.current },
        exec,
        root,
        log,
        random,
        swarmMemory,
        laterRack: rack.found,
        now: () => performance.now(),
      }),
    installContainer: (request) =>
      installContainer(request, { config, exec, root, log, now: () => performance.now() }),
  })
  const machineControl = config.machine_control
  const bootloaderDeps = { exec, root, log, machineControl, pausePath: ASSEMBLY_PAUSE }
  const { onMachineEnd } = deps
  const power = createPowerControl({ exec, root, log, machineControl, clock: config, onMachineEnd })
  return {
    images,
    seeding,
    power,
    prepareInstanceStart: async (signal) => {
      const device = images.lastWritten()?.device
      if (device === undefined) return undefined
      return await prepareInstanceStart(device, { exec, root, log, machineControl, power }, signal)
    },
    installUefiBootloader: async (request) => {
      if (await isSoftwareArray(root, request.devicePath)) await seeding.release(IMAGE_CHANGES)
      return await installUefiBootloader({ ...request, ...bootloaderDeps })
    },
    installGrub: async (request) => {
      await seeding.release(IMAGE_CHANGES)
      await installGrub({ ...request, ...bootloaderDeps })
    },
    findRootUuid: (devicePath, rootUuid) => findRootUuid({ exec, root, devicePath, rootUuid }),
  }
}
