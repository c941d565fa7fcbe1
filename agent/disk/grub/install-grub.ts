// SPDX-License-Identifier: Apache-2.0
// Owns making a written image boot by the GRUB that it brings (contract 5.5). Its programs are a stranger's
// (CVE-2026-43003): system/image-root/ runs them. Whether they may run is decided above.
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf, toAgentError } from '../../core/errors.ts'
import { type ImageRunResult, lastLine, runInImage } from '../../system/image-root/run-in-image.ts'
import { parseProperties } from '../../system/udev.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { installUefiBootloader, type UefiBootloaderRequest } from '../bootloader.ts'
import { isSoftwareArray } from '../md/member-disks.ts'
import { keepBootCode } from './boot-code.ts'
import { type BootPartitions, findBootPartitions } from './boot-partitions.ts'
import { type GrubEsp, makeRoom } from './boot-room.ts'
import { findKernelNodes, type KernelNodes } from './kernel-nodes.ts'
import { EXIT_HAS_NONE, INSTALL_SCRIPT, PRESERVE_SCRIPT } from './scripts.ts'

export interface GrubRequest extends UefiBootloaderRequest {
  /** UUID or label of the root file system, or PARTUUID. */
  readonly rootUuid: string
  readonly prepBootPartUuid: string | null
  /** This ramdisk was booted by UEFI and can write boot entries. */
  readonly canRegister: boolean
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  /** A disk that cannot be made to boot is left with what could be done, not as it was. */
  readonly keepsPartial: boolean
}

/** Two scripts at most; Ironic asks 100 times, 6 s apart, and then gives up. */
const SCRIPT_TIMEOUT_MS = 240_000
const MDADM_TIMEOUT_MS = 30_000

/** What grub-install calls the platforms of a PC; elsewhere it finds out by itself. */
const TARGETS = { uefi: 'x86_64-efi', bios: 'i386-pc' } as const

/** What firmware starts without a boot entry (UEFI 2.10 §3.5.1.1): the only loader there is where none can be made. */
const DEFAULT_LOADER = process.arch === 'arm64' ? 'bootaa64.efi' : 'bootx64.efi'

/**
 * Resolves when the disk boots: by its boot code, or by loaders on its ESP, which are registered with the firmware.
 * Throws DeviceNotFound for UUIDs that are not of this disk, InvalidImage where the image's programs fail, with the end
 * of what they said, ProcessError.
 */
export async function installGrub(request: GrubRequest): Promise<void> {
  const { devicePath, efiSystemPartUuid, prepBootPartUuid, canRegister, root, log, signal } =
    request
  const found = await findBootPartitions(
    { ...request, efiSystemPartUuid: efiSystemPartUuid ?? null },
    request,
  )
  const isUefi = canRegister || Boolean(efiSystemPartUuid)
  // firmware does not see the first sector of an array
  const isOwnDisk = !(await isSoftwareArray(root, devicePath))
  if (!isUefi && !prepBootPartUuid && found.hasBootCode && isOwnDisk) {
    log.info({ device: devicePath }, 'the disk has boot code already')
    return
  }
  const esp = await makeRoom(request, found, isUefi)
  const nodes = await findKernelNodes(devicePath, found.all, request)
  const disks = nodes.disks.map((name) => `/dev/${name}`)
  const undo = isUefi ? () => removeLoaders(request, esp) : await keepBootCode(disks, root)
  try {
    const arrayUuid = await arrayUuidOf(request, nodes)
    const grub: Grub = { ...request, found, nodes, esp, arrayUuid }
    if (isUefi) await installToEsp(grub)
    else await installToDisks(grub)
  } catch (error) {
    const left = request.keepsPartial ? undefined : await failureOf(undo)
    if (left !== undefined) log.error({ device: devicePath, err: left }, 'boot loader left behind')
    if (signal) throwIfAborted(signal)
    throw doesNotBoot(error, request, left)
  }
}

/** What was wrong in the first place is what is told; this beside it. */
async function failureOf(undo: () => Promise<void>): Promise<unknown> {
  try {
    await undo()
    return undefined
  } catch (error) {
    return error
  }
}

interface Grub extends GrubRequest {
  readonly found: BootPartitions
  readonly nodes: KernelNodes
  readonly esp: GrubEsp | undefined
  /** Of the array that the disk is. */
  readonly arrayUuid: string
}

async function installToDisks(grub: Grub): Promise<void> {
  const { found, nodes } = grub
  const targets = found.prep ? [nodes.nameOf(found.prep)] : nodes.disks
  const platform = found.prep ? '' : platformOf('bios')
  requireSuccess(
    await runScript(grub, {
      name: 'grub-install',
      script: INSTALL_SCRIPT,
      args: ['', grub.arrayUuid, platform, ...targets.map((name) => `/dev/${name}`)],
    }),
  )
}

async function installToEsp(grub: Grub): Promise<void> {
  const { found, nodes, esp, devicePath } = grub
  if (esp === undefined) {
    throw new AgentError('DeviceNotFound', `no EFI system partition on ${devicePath}`)
  }
  const { inFstab } = esp
  const node = esp.mirror?.name ?? nodes.nameOf(esp.partition)
  const preserved = await runScript(grub, {
    name: 'preserving of loaders',
    script: PRESERVE_SCRIPT,
    args: [
      ...[inFstab, grub.arrayUuid, found.root.fileSystem.uuid ?? ''],
      grub.canRegister ? '' : DEFAULT_LOADER,
    ],
    esp: { node, at: 'run/esp' },
  })
  if (preserved.exitCode === 0 && (await register(grub))) return
  requireSuccess(
    await runScript(grub, {
      name: 'grub-install',
      script: INSTALL_SCRIPT,
      args: [inFstab, grub.arrayUuid, platformOf('uefi')],
      esp: { node, at: 'boot/efi' },
    }),
  )
  if (await register(grub)) return
  throw new AgentError('InvalidImage', 'its GRUB has put no loader that firmware finds on the ESP')
}

/** True where loaders are registered, or where this ramdisk cannot register any: the scripts made sure of the default. */
async function register(grub: Grub): Promise<boolean> {
  // mtools reads the whole disk, whose pages may be older than what was written to the partition
  await grub.exec(['blockdev', '--flushbufs', grub.esp?.path ?? grub.devicePath])
  return grub.canRegister ? await installUefiBootloader(grub) : true
}

interface Script {
  readonly name: string
  readonly script: string
  readonly args: readonly string[]
  readonly esp?: { readonly node: string; readonly at: string }
}

async function runScript(grub: Grub, script: Script): Promise<ImageRunResult> {
  const { exec, log, found, nodes, esp, signal } = grub
  return await runInImage({
    ...script,
    exec,
    log,
    signal,
    rootNode: nodes.nameOf(found.root),
    nodes: esp?.mirror ? [...nodes.all, esp.mirror] : nodes.all,
    // other systems are not on a disk that was just written; the saved choice is what one-time boots need
    env: { GRUB_DISABLE_OS_PROBER: 'true', GRUB_SAVEDEFAULT: 'true' },
    timeoutMs: SCRIPT_TIMEOUT_MS,
  })
}

function requireSuccess({ exitCode, output }: ImageRunResult): void {
  if (exitCode === 0) return
  const reason = exitCode === EXIT_HAS_NONE ? lastLine(output) : output.trimEnd().slice(-500)
  throw new AgentError('InvalidImage', `its GRUB ended with ${exitCode}: ${reason}`)
}

function platformOf(firmware: keyof typeof TARGETS): string {
  return process.arch === 'x64' ? TARGETS[firmware] : ''
}

async function arrayUuidOf(
  { exec, devicePath }: GrubRequest,
  { isArray }: KernelNodes,
): Promise<string> {
  if (!isArray) return ''
  const { stdout } = await exec(['mdadm', '--detail', '--export', devicePath], {
    timeoutMs: MDADM_TIMEOUT_MS,
  })
  return parseProperties(stdout).get('MD_UUID') ?? ''
}

/** What firmware starts from an ESP by itself. Without a file system there is nothing to remove. */
async function removeLoaders({ exec }: GrubRequest, esp: GrubEsp | undefined): Promise<void> {
  if (esp === undefined) return
  await exec(['blockdev', '--flushbufs', esp.path])
  await exec(['mdeltree', '-i', `${esp.path}@@${esp.offset}`, '::/EFI/BOOT'], {
    env: { MTOOLS_SKIP_CHECK: '1' },
    okExitCodes: [0, 1],
  })
}

/** The same error, with what it means for the machine. */
function doesNotBoot(
  error: unknown,
  { devicePath, keepsPartial }: GrubRequest,
  left: unknown,
): AgentError {
  const { type, details } = toAgentError(error)
  const boots = keepsPartial || left !== undefined ? 'may not boot' : 'does not boot'
  const rest =
    left === undefined ? '' : `; what is there of it cannot be removed: ${messageOf(left)}`
  return new AgentError(
    type,
    `${devicePath} ${boots}, the boot loader of the image is not installed: ${details}${rest}`,
    { cause: error },
  )
}
