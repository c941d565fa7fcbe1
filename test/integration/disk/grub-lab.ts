// SPDX-License-Identifier: Apache-2.0
// Owns disks of tests with an image that has a GRUB, and how the agent is asked to install it. Does not say what comes of it.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type GrubRequest, installGrub } from '../../../agent/disk/grub/install-grub.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import {
  createWrittenDisk,
  ROOT_FS_UUID,
  type WrittenDisk,
} from '../../support/image-root/written-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)

/** False, with a printed reason, where the tests must be skipped. */
export const canInstallGrub = () =>
  hasLoopDevices('boot loaders of an image') && hasPackages('boot-loaders')

/** What a GRUB of tests puts into the first sector. */
export const BOOT_CODE = 'test boot code'

/** Scripts in the places of GRUB's programs: they tell how they were called in /called. */
export const FAKE_GRUB = {
  '/usr/sbin/grub-install': `#!/bin/sh
echo "grub-install $*" >> /called
for device; do :; done
case $device in /dev/*) printf '${BOOT_CODE}' | dd of=$device conv=notrunc ;; esac`,
  '/usr/sbin/grub-mkconfig': `#!/bin/sh
echo "grub-mkconfig $* $GRUB_DISABLE_OS_PROBER $GRUB_SAVEDEFAULT" >> /called
echo menu > "$2"`,
}

export interface GrubDiskOptions {
  readonly files?: Readonly<Record<string, string>>
  readonly links?: Readonly<Record<string, string>>
  readonly label?: 'gpt' | 'dos'
}

/** A disk with a BIOS boot partition, unless its table is an MBR, and a root file system. The caller disposes of it. */
export async function createGrubDisk({
  files = FAKE_GRUB,
  links = {},
  label = 'gpt',
}: GrubDiskOptions = {}): Promise<WrittenDisk> {
  await using root = await createBusyboxRoot(files)
  for (const [path, target] of Object.entries(links)) await root.link(path, target)
  const boot =
    label === 'gpt' ? ['start=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649'] : []
  return await createWrittenDisk({
    label,
    partitions: [...boot, `start=4096,size=61440${label === 'dos' ? ',bootable' : ''}`],
    root: { startMiB: 2, sizeMiB: 30, folder: root.folder },
    diskMiB: 36,
  })
}

/** Has the agent install it, by BIOS unless `changes` says otherwise. */
export async function install(
  path: string,
  changes: Partial<GrubRequest> = {},
  write: (line: string) => unknown = () => undefined,
): Promise<void> {
  await installGrub({
    exec,
    root: createRoot('/'),
    log: createLogger({ level: 'debug', destination: { write: (line) => void write(line) } }),
    machineControl: 'real',
    // nothing here makes arrays
    pausePath: '/dev/null/raid-changes',
    events: { publish: () => undefined },
    devicePath: path,
    rootUuid: ROOT_FS_UUID,
    prepBootPartUuid: null,
    canRegister: false,
    keepsPartial: false,
    ...changes,
  })
}

/** Text in the first sector. */
export async function bootCodeOf(path: string): Promise<string> {
  await run('blockdev', ['--flushbufs', path])
  const { stdout } = await run('dd', [`if=${path}`, 'bs=440', 'count=1'], { encoding: 'latin1' })
  return stdout.replaceAll('\0', '')
}
