// SPDX-License-Identifier: Apache-2.0
// Owns the start of the instance without firmware: the kernel that the image's boot loader would take is found, read and
// loaded; where that cannot be, the machine is rebooted and the reason told. The disk has been proved and committed before;
// nothing is written to it.
/// <reference lib="esnext.disposable" />
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { throwIfAborted, withDeadline } from '../core/deadline.ts'
import { AgentError, isAgentError, messageOf } from '../core/errors.ts'
import { formatBytes, MiB, roundUp } from '../core/units.ts'
import { cannotFollow } from '../disk/instance-kernel/boot-entry.ts'
import { type FoundKernel, findKernel } from '../disk/instance-kernel/find-kernel.ts'
import { type ImageDisk, openImageDisk } from '../disk/instance-kernel/image-disk.ts'
import { isUefi } from '../system/efi.ts'
import type { Exec } from '../system/exec.ts'
import {
  isSignedKernel,
  SIGNATURE_HEAD_BYTES,
  whatEnforcesSignatures,
} from '../system/kexec/kernel-signature.ts'
import { loadKernel, loadKernelArgv, unloadKernel } from '../system/kexec/kexec.ts'
import type { Root } from '../system/root.ts'
import { blockDeviceAt } from '../system/sysfs.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { PowerControl } from './power-control.ts'

export interface InstanceStart {
  /** How the instance will be started and, where that is by a reboot, why; for the log and the command's result. */
  readonly sentence: string
  /** Ends this system. Throws SystemRebootError. */
  go(): Promise<void>
  /** Nothing is started: what was loaded is unloaded, and this system goes on. Never fails. */
  cancel(): Promise<void>
}

/** For who would rather have this system go on than end it unasked. Cancels and throws CancelledError after an abort. */
export async function cancelIfAborted(start: InstanceStart, signal: AbortSignal): Promise<void> {
  if (!signal.aborted) return
  await start.cancel()
  throwIfAborted(signal)
}

export interface InstanceStartDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly machineControl: 'real' | 'log'
  readonly power: Pick<PowerControl, 'reboot' | 'startLoadedKernel'>
}

/** All of it: mounts, reads of a slow disk, kexec itself. */
const PREPARE_DEADLINE_MS = 120_000
const MOST_KERNEL_BYTES = 128 * MiB
const MOST_INITRD_BYTES = 512 * MiB
/** Left to everything else. */
const KEPT_FREE_BYTES = 64 * MiB
/** Our copy, the kernel's, and the one it makes while it loads. */
const COPIES = 3

/** Never fails: what goes wrong is the reason for a reboot. */
export async function prepareInstanceStart(
  devicePath: string,
  deps: InstanceStartDeps,
  signal: AbortSignal,
): Promise<InstanceStart> {
  const { exec, log, power } = deps
  const expiry = new AbortController()
  const cancel = async () => {
    if (deps.machineControl === 'real') await unloadKernel(exec).catch(() => undefined)
  }
  try {
    const all = AbortSignal.any([signal, expiry.signal])
    const loading = loadInstance(devicePath, deps, all)
    const sentence = await withDeadline(loading, PREPARE_DEADLINE_MS, () => {
      expiry.abort()
      return cannotFollow(`no kernel was loaded in ${PREPARE_DEADLINE_MS / 1000} s`)
    })
    log.info({ device: devicePath }, sentence)
    const go = async () => {
      try {
        await power.startLoadedKernel()
      } catch (error) {
        await cancel()
        throw error
      }
    }
    return { sentence, go, cancel }
  } catch (err) {
    const reason = isAgentError(err) ? err.details : messageOf(err)
    const sentence = `the machine is rebooted by its firmware: ${reason}`
    log.warn({ device: devicePath, err }, sentence)
    // one that came late must not be what the reboot starts
    await cancel()
    return { sentence, go: () => power.reboot(), cancel }
  }
}

async function loadInstance(
  devicePath: string,
  deps: InstanceStartDeps,
  signal: AbortSignal,
): Promise<string> {
  const { exec, root, log, machineControl } = deps
  // what was written went past the page cache, through which file systems are read
  if (await blockDeviceAt(root, devicePath)) await exec(['blockdev', '--flushbufs', devicePath])
  await using disk = await openImageDisk(devicePath, { exec, root, signal })
  const kernel = await findKernel(disk, (await isUefi(root)) ? 'uefi' : 'bios')
  await using folder = await createFolder()
  const files = await copyKernel(kernel, disk, { folder: folder.path, root, signal })
  const enforcedBy = await whatEnforcesSignatures(root)
  const signature = `${files.isSigned ? 'signed' : 'not signed'}, ${
    enforcedBy ? `${enforcedBy} asks for a signature` : 'nothing asks for a signature'
  }`
  const { title, from, commandLine } = kernel
  const what = { kernel: kernel.kernel.path, from, title, kernel_line: commandLine, signature }
  log.info({ device: devicePath, ...what }, 'kernel of the instance')
  if (enforcedBy !== undefined && !files.isSigned) {
    throw cannotFollow(
      `${kernel.kernel.path} is not signed, and ${enforcedBy} asks for a signature`,
    )
  }
  const toLoad = { ...files, commandLine, mustBeSigned: enforcedBy !== undefined }
  if (machineControl === 'log') {
    log.info({ argv: loadKernelArgv(toLoad) }, 'machine control is logged, not done')
  } else {
    await loadKernel(exec, toLoad, signal).catch((cause: unknown) => {
      const which = `${kernel.kernel.path} (${signature})`
      throw new AgentError('ProcessError', `${which}: ${messageOf(cause)}`, { cause })
    })
  }
  return `the instance is started by kexec: ${kernel.kernel.path} as ${from} has it; ${signature}`
}

async function createFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-kexec-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

interface CopyOptions {
  readonly folder: string
  readonly root: Root
  readonly signal: AbortSignal
}

/** Copies into memory, for file systems of the image are closed before the machine ends. */
async function copyKernel(
  { kernel, initrds }: FoundKernel,
  disk: ImageDisk,
  { folder, root, signal }: CopyOptions,
) {
  const room = await roomInMemory(root)
  const kernelPath = join(folder, 'kernel')
  await using kernelFile = await open(kernelPath, 'wx+', 0o600)
  const most = Math.min(MOST_KERNEL_BYTES, room)
  const kernelBytes = await disk.copy(kernel, kernelFile, 0, most, signal)
  const head = new Uint8Array(SIGNATURE_HEAD_BYTES)
  const { bytesRead } = await kernelFile.read(head, 0, head.length, 0)
  const isSigned = isSignedKernel(head.subarray(0, bytesRead))
  if (initrds.length === 0) return { kernelPath, initrdPath: undefined, isSigned }
  const initrdPath = join(folder, 'initrd')
  await using initrdFile = await open(initrdPath, 'wx', 0o600)
  let end = 0
  for (const initrd of initrds) {
    const left = Math.min(MOST_INITRD_BYTES, room - kernelBytes) - end
    // archives begin at a multiple of four (early-userspace/buffer-format)
    end = roundUp(end, 4)
    end += await disk.copy(initrd, initrdFile, end, Math.max(0, left), signal)
  }
  return { kernelPath, initrdPath, isSigned }
}

/** Bytes that kernel and initrds may have together. */
async function roomInMemory(root: Root): Promise<number> {
  const text = (await root.readText('/proc/meminfo')) ?? ''
  const availableBytes = Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
  const room = Math.floor((availableBytes - KEPT_FREE_BYTES) / COPIES)
  if (room > 0) return room
  throw cannotFollow(`the ramdisk has ${formatBytes(availableBytes)} of memory left for a kernel`)
}
