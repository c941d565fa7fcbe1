// SPDX-License-Identifier: Apache-2.0
// Owns containers of tests as layers of a registry: one that runs commands, and a bootable one. Debian has no bootc: in its
// place is a script of the same arguments, which divides the disk, makes file systems and copies the small instance image
// into them. It is no bootc; that a real one does the same on such a disk is not shown.
import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, open, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { type BusyboxRoot, createBusyboxRoot } from './image-root/busybox-root.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
/** Of the small instance image: image-build/bootable-disk.ts. */
const ESP_MIB = { first: 1, size: 36 }

const BOOTC = `#!/bin/sh
# What this project calls of bootc(8), and no more.
set -e
[ "$1" = --version ] && { echo 'bootc of the tests'; exit 0; }
[ "$1 $2" = 'install to-disk' ] || exit 64
for word; do
  case $word in
    --root-size=*M) size=\${word#--root-size=} ;;
    --root-ssh-authorized-keys=*) cat "\${word#*=}" ;;
    /dev/*) disk=$word ;;
  esac
done
# udev would read the table anew, and partitions would go and come meanwhile (systemd: Locking Block Device Access)
exec 9<"$disk"
flock 9
printf 'label: gpt\\nsize=64MiB, type=uefi\\nsize=%siB, type=linux\\n' "$size" | sfdisk --quiet --wipe=always "$disk"
until [ -b "\${disk}p2" ]; do sleep 1; done
mkfs.vfat -n ESP "\${disk}p1"
mkdir -p /target
mount -t vfat "\${disk}p1" /target
cp -r /instance/esp/* /target/
[ -e /instance/trouble ] && . /instance/trouble
umount /target
dd if=/instance/root.ext4 of="\${disk}p2" bs=1M conv=fsync
# it would do that in its place, as root
[ "$(dd if=/dev/vda bs=512 count=1 2>/dev/null | tr -d '\\0' | wc -c)" = 0 ] || exit 65
echo "installed to $disk, root of $size"
`

/** What happens to it half-way: the disk is divided, its EFI partition full and mounted, its root begun. */
const TROUBLES = {
  breaks: `dd if=/instance/root.ext4 of="$disk"p2 bs=1M count=2 conv=fsync
echo 'cannot go on' >&2
exit 3
`,
  // it has the machine's processes before it; and goes on for a while
  'kills the agent': `for one in /proc/[0-9]*; do
  grep -q main.mjs "$one/cmdline" && kill -KILL "$(basename "$one")"
done
sleep 5
exit 3
`,
} as const

/** The layer of a container of BusyBox alone. */
export async function toolLayer(): Promise<Uint8Array> {
  await using root = await createBusyboxRoot()
  return await layerOf(root)
}

/** The layer of a container that installs the image, or has its trouble with it. */
export async function bootableLayer(
  image: string,
  trouble?: keyof typeof TROUBLES,
): Promise<Uint8Array> {
  await using root = await createBusyboxRoot({ '/usr/bin/bootc': BOOTC })
  const instance = join(root.folder, 'instance')
  await mkdir(join(instance, 'esp'), { recursive: true })
  const esp = `${image}@@${ESP_MIB.first * MiB}`
  await run('mcopy', ['-s', '-i', esp, '::/*', join(instance, 'esp')])
  await copyRoot(image, join(instance, 'root.ext4'))
  if (trouble) await writeFile(join(instance, 'trouble'), TROUBLES[trouble])
  // Debian's BusyBox has none of them
  for (const path of ['bin/flock', 'sbin/sfdisk', 'sbin/mkfs.vfat']) {
    await addProgram(root, `/usr/${path}`)
  }
  return await layerOf(root)
}

/** What lies behind the EFI partition, but for the last MiB. */
async function copyRoot(image: string, target: string): Promise<void> {
  const from = (ESP_MIB.first + ESP_MIB.size) * MiB
  await using source = await open(image)
  const { size } = await source.stat()
  const bytes = Buffer.alloc(size - from - MiB)
  await source.read(bytes, 0, bytes.length, from)
  await writeFile(target, bytes)
}

/** With the libraries that this machine's own has. */
async function addProgram({ folder }: BusyboxRoot, path: string): Promise<void> {
  const { stdout } = await run('ldd', [path])
  const libraries = [...stdout.matchAll(/(\/\S+)\s+\(0x/g)].map(([, library]) => library as string)
  await mkdir(join(folder, 'usr/sbin'), { recursive: true })
  await copyFile(path, join(folder, 'usr/sbin', basename(path)))
  // where Debian's loader looks, and where programs look for the loader
  const folders = ['lib/x86_64-linux-gnu', 'lib64'].map((name) => join(folder, name))
  for (const target of folders) {
    await mkdir(target, { recursive: true })
    for (const library of libraries) {
      await cp(library, join(target, basename(library)), { dereference: true })
    }
  }
}

async function layerOf({ folder }: BusyboxRoot): Promise<Uint8Array> {
  const argv = ['-C', folder, '--numeric-owner', '--owner=0', '--group=0', '-cf', '-', '.']
  const how = { encoding: 'buffer', maxBuffer: 512 * MiB } as const
  return (await run('tar', argv, how)).stdout
}
