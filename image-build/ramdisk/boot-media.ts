// SPDX-License-Identifier: Apache-2.0
// Owns `make iso`: a CD that BIOS and UEFI firmware start the ramdisk from, and the EFI system partition
// with its loader, which Ironic puts into the ISOs it makes itself ([conductor]bootloader).
//
//   RAMDISK=vm                     of the small ramdisk: build/ironswarm-vm.iso
//   KERNEL_PARAMS='ipa-api-url=…'  what the kernel line says besides; boot_method=vmedia unless given
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { resolvePackages } from '../debian-packages.ts'
import { runProgram } from '../program.ts'
import { IMAGE_EPOCH_SECONDS, run } from '../run.ts'
import { joinSboms } from './sbom.ts'
import { createTree, fileNode, writeTree } from './tree.ts'
import { type Variant, variantOf } from './variants.ts'

const BUILD = join(import.meta.dirname, '../../build')

const VOLUME = 'IRONSWARM'
const ESP_VOLUME_ID = '1a04ad5e'
const MiB = 1024 * 1024
/** Where Ironic looks for both in an ISO given as deploy_iso, and puts them in its own. */
const ESP_PATH = 'boot/grub/efiboot.img'
const GRUB_CONFIG = 'boot/grub/grub.cfg'

// biome-ignore format: by what they are for
const GRUB_MODULES = ['iso9660', 'udf', 'fat', 'part_gpt', 'part_msdos', 'search', 'search_label',
  'memdisk', 'tar', 'configfile', 'normal', 'linux', 'linuxefi', 'echo', 'test', 'all_video', 'gfxterm',
  'serial', 'terminal', 'boot', 'sleep', 'reboot', 'halt']

/** Ironic's name for the ISOs it makes (common/images.py), and ours. */
const VOLUMES = ['VMEDIA_BOOT_ISO', VOLUME]
/** What `[DEFAULT]grub_config_path` is by default, and with the loaders of common distributions. */
const CONFIG_PATHS = [
  GRUB_CONFIG,
  ...['BOOT', 'debian', 'ubuntu', 'centos', 'redhat', 'fedora', 'rocky', 'almalinux'].map(
    (name) => `EFI/${name}/grub.cfg`,
  ),
]

/**
 * The loader's own configuration, in its memory disk: finds the medium by its name, because the ESP of an
 * instance on the disk may hold files of the same paths, and goes on with what Ironic wrote for the node.
 */
const FIND_CONFIG = `${VOLUMES.map(
  (volume) => `if [ -z "$medium" ]; then search --no-floppy --set=medium --label ${volume}; fi\n`,
).join('')}set root=$medium
for path in ${CONFIG_PATHS.map((path) => `/${path}`).join(' ')}; do
  if [ -f $path ]; then set prefix=($root)/boot/grub; configfile $path; fi
done
echo 'ironswarm: no medium with a configuration of GRUB: is grub_config_path one of those in the docs?'
sleep 60
`

const CONSOLES = 'console=tty0 console=ttyS0,115200 nomodeset'

async function makeBootMedia(variant: Variant, parameters: string): Promise<void> {
  const workFolder = join(BUILD, `${variant.prefix}.iso.work`)
  await rm(workFolder, { recursive: true, force: true })
  await mkdir(workFolder, { recursive: true })
  try {
    const esp = join(workFolder, 'esp.img')
    await makeEsp(esp, workFolder)
    const iso = join(workFolder, 'out.iso')
    await makeIso(iso, { variant, esp, workFolder, kernelLine: `${parameters} ${CONSOLES}` })
    await publish(iso, `${variant.prefix}.iso`, {
      madeOf: [`${variant.prefix}.kernel`, `${variant.prefix}.initramfs`],
      loaders: ['grub-efi-amd64-bin', 'isolinux', 'syslinux-common'],
    })
    await publish(esp, 'ironswarm-esp.img', { madeOf: [], loaders: ['grub-efi-amd64-bin'] })
  } finally {
    await rm(workFolder, { recursive: true, force: true })
  }
}

/** A FAT file system with GRUB where firmware looks for it. */
async function makeEsp(path: string, workFolder: string): Promise<void> {
  const loader = join(workFolder, 'BOOTX64.EFI')
  const memory = join(workFolder, 'memory.tar')
  const folder = join(workFolder, 'memory')
  const tree = createTree()
  tree.add(GRUB_CONFIG, fileNode(Buffer.from(FIND_CONFIG)))
  await writeTree(tree, folder)
  // biome-ignore format: one flag and its value per pair
  await run(['tar', '--format=ustar', '--sort=name', '--owner=0', '--group=0', '--numeric-owner',
    `--mtime=@${IMAGE_EPOCH_SECONDS}`, '-C', folder, '-cf', memory, 'boot'])
  // biome-ignore format: one flag and its value per pair
  await run(['grub-mkimage', '-O', 'x86_64-efi', '-p', '(memdisk)/boot/grub', '-m', memory, '-o', loader,
    ...GRUB_MODULES])
  const loaderMib = Math.ceil((await stat(loader)).size / MiB)
  await writeFile(path, '')
  await truncate(path, (loaderMib + 1) * MiB)
  await run(['mkfs.vfat', '--invariant', '-i', ESP_VOLUME_ID, '-n', 'ESP', path])
  const env = { MTOOLS_SKIP_CHECK: '1' }
  await run(['mmd', '-i', path, '::/EFI', '::/EFI/BOOT'], { env })
  await run(['mcopy', '-i', path, loader, '::/EFI/BOOT/BOOTX64.EFI'], { env })
}

interface Made {
  /** Other outputs, by file name. */
  readonly madeOf: readonly string[]
  /** Debian packages whose boot loaders it holds. */
  readonly loaders: readonly string[]
}

interface IsoParts {
  readonly variant: Variant
  readonly esp: string
  readonly workFolder: string
  readonly kernelLine: string
}

async function makeIso(path: string, parts: IsoParts): Promise<void> {
  const { variant, esp, workFolder, kernelLine } = parts
  const tree = createTree()
  tree.add('vmlinuz', fileNode(output(`${variant.prefix}.kernel`)))
  tree.add('initrd', fileNode(output(`${variant.prefix}.initramfs`)))
  tree.add(ESP_PATH, fileNode(esp))
  tree.add(GRUB_CONFIG, fileNode(Buffer.from(grubConfig(kernelLine))))
  tree.add('isolinux/isolinux.cfg', fileNode(Buffer.from(isolinuxConfig(kernelLine))))
  tree.add('isolinux/isolinux.bin', fileNode('/usr/lib/ISOLINUX/isolinux.bin'))
  tree.add('isolinux/ldlinux.c32', fileNode('/usr/lib/syslinux/modules/bios/ldlinux.c32'))
  const folder = join(workFolder, 'iso')
  await writeTree(tree, folder)
  // hybrid: the same file on a USB stick starts too
  await run(
    // biome-ignore format: one flag and its value per pair
    ['xorrisofs', '-quiet', '-o', path, '-V', VOLUME, '-r', '-J', '-l',
      '-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat',
      '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table',
      '-eltorito-alt-boot', '-e', ESP_PATH, '-no-emul-boot',
      '-isohybrid-mbr', '/usr/lib/ISOLINUX/isohdpfx.bin', '-isohybrid-gpt-basdat',
      `--modification-date=${isoTime(IMAGE_EPOCH_SECONDS)}`, folder],
  )
}

function grubConfig(kernelLine: string): string {
  return `set timeout=0
serial --unit=0 --speed=115200
terminal_output console serial
menuentry "ironswarm" {
  linux /vmlinuz ${kernelLine}
  initrd /initrd
}
`
}

function isolinuxConfig(kernelLine: string): string {
  return `SERIAL 0 115200
DEFAULT ironswarm
PROMPT 0
TIMEOUT 1
LABEL ironswarm
  KERNEL /vmlinuz
  APPEND initrd=/initrd ${kernelLine}
`
}

/** YYYYMMDDhhmmsscc, as ISO 9660 has it. */
function isoTime(epochSeconds: number): string {
  return `${new Date(epochSeconds * 1000).toISOString().replace(/\D/g, '').slice(0, 14)}00`
}

function output(name: string): string {
  const path = join(BUILD, name)
  if (!existsSync(path)) throw new Error(`build/${name} is not there: make ramdisk`)
  return path
}

/** Moves the file into build/, with its sum and what it is made of. */
async function publish(path: string, name: string, { madeOf, loaders }: Made): Promise<void> {
  const content = await readFile(path)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const manifest = await readFile(join(BUILD, '../package.json'), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  const sboms = await Promise.all(
    madeOf.map((part) => readFile(output(`${part}.cdx.json`), 'utf8')),
  )
  const debian = await resolvePackages(loaders)
  await rename(path, join(BUILD, name))
  await writeFile(join(BUILD, `${name}.sha256`), `${sha256}  ${name}\n`)
  await writeFile(
    join(BUILD, `${name}.cdx.json`),
    joinSboms({ name, version, sha256 }, sboms, debian),
  )
  console.log(`iso: build/${name} ${(content.length / 1e6).toFixed(1)} MB`)
}

await runProgram('iso', async () => {
  const parameters = process.env['KERNEL_PARAMS'] || 'boot_method=vmedia'
  await makeBootMedia(variantOf(process.env['RAMDISK']), parameters)
})
