// SPDX-License-Identifier: Apache-2.0
// Owns the commands around an image and a disk: write, plan, verify. Flags and help; the work is image/'s.
import { Option } from 'commander'
import type { Verb } from '../verb.ts'
import type { Add } from './adding.ts'

const CONFIGDRIVE_DOC = 'file with the config drive: URL or base64 of a gzipped image'

const BOOT_DOC =
  'then end this system and start the instance, by kexec where its kernel can be found'
const BOOT_NOTE = `--boot does not ask before it ends this system, closes nobody's session, and does not change what the firmware
boots: without a kernel that it finds, reads and may load, the machine is rebooted as it is set up. It reads menus of
GRUB and systemd-boot, entries of the Boot Loader Specification and names below /boot; no LVM, no encrypted
volumes, no unified kernel images. It wants a disk of this machine: a file, a partition and a loop device are refused.`

const SOURCE_NOTE = `The image is one of: --url with --sha256 or --sha512; a file, as the word before DEVICE; --image-info. What DEVICE
holds is lost, and nobody is asked again: ironswarm plan says what would be done.`

export function addImageVerbs(program: Verb, add: Add): void {
  const write = add(
    program,
    'write',
    'write an image to a device, read it back, verify it',
    async () => (await import('../image/write.ts')).runWrite,
  )
  addImageFlags(write).option('--configdrive <file>', CONFIGDRIVE_DOC).option('--boot', BOOT_DOC)
  write
    .example(
      'from a server; DEVICE holds the image afterwards, or cannot boot',
      'ironswarm write --url http://host/debian.raw --sha256 DIGEST /dev/sdX',
    )
    .example(
      'over a swarm; peers first, the server for what they do not have',
      'ironswarm write --url http://host/debian.raw --sha256 http://host/SHA256SUMS --torrent debian.torrent /dev/sdX',
    )
    .example('from a file', 'ironswarm write debian.raw /dev/sdX')
    .example('as Ironic would send it', 'ironswarm write --image-info image.json /dev/sdX')
    .note(SOURCE_NOTE)
    .note(BOOT_NOTE)
  const plan = add(
    program,
    'plan',
    'say what write would do, touching nothing',
    async () => (await import('../image/plan.ts')).runPlan,
  )
  addImageFlags(plan).option('--configdrive <file>', CONFIGDRIVE_DOC)
  plan.example(
    'what would be done',
    'ironswarm plan --url http://host/debian.raw --sha256 DIGEST /dev/sdX',
  )
  addVerify(program, add)
}

function addVerify(program: Verb, add: Add): void {
  const verify = add(
    program,
    'verify',
    'read a device and compare it with the checksum of an image',
    async () => (await import('../image/verify.ts')).runVerify,
  )
  addImageFlags(verify).option(
    '--length <bytes>',
    'length of the image; neither its server nor its torrent is then asked',
  )
  verify
    .example(
      'without any network: a digest and a length say all',
      'ironswarm verify --sha256 DIGEST --length 2G /dev/sdX',
    )
    .example('against a file', 'ironswarm verify debian.raw /dev/sdX')
    .example('against its server', 'ironswarm verify --image-info image.json /dev/sdX')
}

function addImageFlags(verb: Verb): Verb {
  const format = new Option('--format <format>', 'what the image is; auto: its first bytes say')
    .choices(['auto', 'raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi'])
    .default('auto')
  return verb
    .argument('[words...]')
    .usage('[options] [IMAGE] DEVICE')
    .repeatable('--url <url>', 'where the image is: http(s); of several the next is asked')
    .option('--sha256 <digest>', '64 hex digits, or the URL of a file with digests')
    .option('--sha512 <digest>', '128 hex digits, or the URL of a file with digests')
    .option('--torrent <torrent>', 'its .torrent: file or URL')
    .addOption(format)
    .option('--image-info <file>', 'JSON file with image_info as Ironic sends it')
    .option('--device <path>', 'the device, instead of the last word')
    .option('--json', 'the last line of stdout is one JSON object; logs go to stderr')
}
