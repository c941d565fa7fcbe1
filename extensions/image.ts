// SPDX-License-Identifier: Apache-2.0
// Owns the `image` extension: what makes a written disk boot (contract 5.5), and whether programs of an image may run
// for it. Does not touch firmware or disks; agent/disk/bootloader.ts and agent/disk/grub/ do.
import { type CommandContext, command, type Extension } from '../agent/commands/command.ts'
import { AgentError } from '../agent/core/errors.ts'
import type { JsonObject } from '../agent/core/json.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import type { WrittenImage } from '../agent/deploy/written-image.ts'
import { isSoftwareArray } from '../agent/disk/md/member-disks.ts'
import { isUefi } from '../agent/system/efi.ts'
import { assertOnly, optionalBoolean, optionalString } from './params.ts'

const NAME = 'image.install_bootloader'
/** The identifier of a disk that has none: most with a GPT. */
const NO_ROOT = '0x00000000'

interface BootloaderParams {
  readonly rootUuid: string | null
  readonly efiSystemPartUuid: string | null
  readonly prepBootPartUuid: string | null
  readonly targetBootMode: string
  readonly ignoresFailure: boolean
}

/** image.install_bootloader. */
export function createImageExtension(deps: ExtensionDeps): Extension {
  const install = command({
    kind: 'async',
    parse: (params) => parseParams(params, deps.config.ignore_bootloader_failure),
    run: async (params, context) => {
      try {
        await installBootloader(deps, params, context)
      } catch (err) {
        if (!params.ignoresFailure) throw err
        deps.log.warn({ err }, 'boot loader failure ignored')
      }
      return null
    },
  })
  return { name: 'image', commands: { install_bootloader: install } }
}

function parseParams(params: JsonObject, ignoresByOption: boolean): BootloaderParams {
  assertOnly(NAME, params, [
    'root_uuid',
    'efi_system_part_uuid',
    'prep_boot_part_uuid',
    'target_boot_mode',
    'ignore_bootloader_failure',
  ])
  return {
    rootUuid: optionalString(NAME, params, 'root_uuid'),
    efiSystemPartUuid: optionalString(NAME, params, 'efi_system_part_uuid'),
    prepBootPartUuid: optionalString(NAME, params, 'prep_boot_part_uuid'),
    targetBootMode: optionalString(NAME, params, 'target_boot_mode') ?? 'bios',
    ignoresFailure: optionalBoolean(NAME, params, 'ignore_bootloader_failure') ?? ignoresByOption,
  }
}

async function installBootloader(
  deps: ExtensionDeps,
  params: BootloaderParams,
  context: CommandContext,
): Promise<void> {
  const devicePath = await writtenDevice(deps)
  const isArray = await isSoftwareArray(deps.root, devicePath)
  const named = await findNamed(deps, { devicePath, isArray }, params.rootUuid)
  const canRegister = await canSetUpUefi(deps, params.targetBootMode)
  if (canRegister) {
    const done = await deps.deploy.installUefiBootloader({
      devicePath,
      efiSystemPartUuid: params.efiSystemPartUuid,
      events: context.events,
      signal: context.signal,
    })
    if (done) return
  }
  if (named === 'own loader') {
    if (isArray) throw startsFromNoArray(devicePath, params)
    deps.log.info({ root_uuid: params.rootUuid }, 'whole-disk image brings its own boot loader')
    return
  }
  assertMayRunGrub(deps, params.rootUuid)
  await deps.deploy.installGrub({
    devicePath,
    rootUuid: named.rootUuid,
    efiSystemPartUuid: params.efiSystemPartUuid,
    prepBootPartUuid: params.prepBootPartUuid,
    canRegister,
    keepsPartial: params.ignoresFailure,
    events: context.events,
    signal: context.signal,
  })
}

/**
 * The disk that the image is on. What was written is not chosen anew: the image may have brought what makes a disk
 * no root disk (RAID members), and another one would be taken.
 */
async function writtenDevice({ deploy, hardware, nodeCache }: ExtensionDeps): Promise<string> {
  const written = deploy.images.lastWritten()
  if (written) return written.device
  return (await hardware.dispatch('getOsInstallDevice', nodeCache.current())).name
}

/**
 * What the root uuid says of the image. It brings its own loader where none is named (contract 5.5 step 3), where
 * this very disk is, or a partition of a whole-disk image that this agent wrote to a plain disk; else GRUB is to be installed from the
 * root file system. Throws DeviceNotFound for a name of nothing on a disk that this agent wrote.
 */
async function findNamed(
  deps: ExtensionDeps,
  { devicePath, isArray }: { readonly devicePath: string; readonly isArray: boolean },
  rootUuid: string | null,
): Promise<'own loader' | { readonly rootUuid: string }> {
  if (rootUuid === null || rootUuid === '' || rootUuid === NO_ROOT) return 'own loader'
  const named = await deps.deploy.findRootUuid(devicePath, rootUuid)
  const written = deps.deploy.images.lastWritten()
  const isWritten = written?.device === devicePath
  if (isWritten && named === undefined) {
    throw new AgentError(
      'DeviceNotFound',
      `no partition of ${devicePath} has the UUID ${rootUuid}, nor has the disk; was the image written to another?`,
    )
  }
  // firmware does not see the loader inside of an array
  const isWholeDisk = isWritten && !isPartitionImage(written) && !isArray
  return named === 'disk' || isWholeDisk ? 'own loader' : { rootUuid }
}

/** What was divided for it is told of a partition image only. */
function isPartitionImage(written: WrittenImage): boolean {
  return written.partitions !== null
}

/** A whole-disk image in an array, of which firmware sees no byte, and nothing that could be put on the members. */
function startsFromNoArray(
  devicePath: string,
  { rootUuid, targetBootMode }: BootloaderParams,
): AgentError {
  return new AgentError(
    'DeploymentError',
    `${devicePath} is a software RAID array, and no loader for its members was found (boot mode ${targetBootMode}, root ` +
      `uuid ${rootUuid}): by UEFI it is taken from the ESP of the image; by BIOS it is the GRUB of the image, for which ` +
      "its property rootfs_uuid must name the root file system (instance_info's image_rootfs_uuid)",
  )
}

/** Throws InvalidImage unless operators have agreed to it: Ironic by its answer to the lookup, or the option. */
function assertMayRunGrub({ config }: ExtensionDeps, rootUuid: string | null): void {
  if (config.enable_bios_bootloader_install) return
  throw new AgentError(
    'InvalidImage',
    `the image with root file system ${rootUuid} needs grub-install run from inside of it, which lets an image run ` +
      'programs as root (CVE-2026-43003); deploy a whole-disk image, or allow it: ' +
      '[agent]enable_bios_bootloader_install in ironic.conf, enable_bios_bootloader_install here',
  )
}

/** True if this ramdisk was booted by UEFI and can write boot entries; with a warning where that surprises. */
async function canSetUpUefi(deps: ExtensionDeps, targetBootMode: string): Promise<boolean> {
  const isUefiRamdisk = await isUefi(deps.root)
  const mode = isUefiRamdisk ? 'uefi' : 'bios'
  if (mode !== targetBootMode) {
    deps.log.warn({ boot_mode: mode, target_boot_mode: targetBootMode }, 'boot modes differ')
  }
  if (!isUefiRamdisk || deps.config.machine_control === 'log') return isUefiRamdisk
  try {
    await deps.exec(['efibootmgr', '--version'], { timeoutMs: 10_000 })
    return true
  } catch (err) {
    deps.log.warn({ err }, 'no efibootmgr; boot entries are left as they are')
    return false
  }
}
