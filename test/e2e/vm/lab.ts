// SPDX-License-Identifier: Apache-2.0
// Owns the laboratory of `make vm`: network, image source, machines, Ironic's stand-in and how each way
// of booting is offered to the machines. Its end leaves no process behind; logs stay under build/vm.
import { execFile } from 'node:child_process'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'
import { type FileServer, startFileServer } from '../../support/file-server.ts'
import { type Accelerator, findAccelerator } from '../../support/vm/accelerator.ts'
import { startBmc } from '../../support/vm/bmc.ts'
import { createImageSource, type ImageSource } from '../../support/vm/image-source.ts'
import { createNetwork, LAB_ADDRESS, type Network } from '../../support/vm/network.ts'
import { createQemuMachine, type QemuMachine } from '../../support/vm/qemu-machine.ts'
import { KERNEL_WORDS, type Ramdisk } from '../../support/vm/ramdisk.ts'
import { makeConfigDrive } from '../demo/config-drive.ts'
import type { VmSettings } from './settings.ts'

const run = promisify(execFile)
const FLOPPY_BYTES = 1440 * 1024

export interface VmLab extends AsyncDisposable {
  readonly accelerator: Accelerator
  readonly machines: readonly QemuMachine[]
  readonly source: ImageSource
  readonly ironic: FakeIronic
  /** Base64 of the gzipped volume, as the conductor sends it. */
  configDrive(machine: QemuMachine): Promise<string>
}

/**
 * Machines that are switched off and find the ramdisk when they boot as the settings say.
 * @param lookups `any`: Ironic knows its nodes in every state, not only in those of a deploy
 * @param lookupConfig more of what Ironic says of the configuration
 */
export async function createVmLab(
  settings: VmSettings,
  folder: string,
  lookups: 'any' | 'deploying' = 'deploying',
  lookupConfig: Readonly<Record<string, unknown>> = {},
): Promise<VmLab> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await using stack = new AsyncDisposableStack()
  const accelerator = await findAccelerator(settings.ramdisk.kernel, process.env)
  const network = stack.use(await createNetwork({ folder, taps: settings.nodes }))
  const source = stack.use(await createImageSource(settings.image, folder))
  const machines: QemuMachine[] = []
  for (const [i, tap] of network.taps.entries()) {
    const { firmware, memoryMib } = settings
    const name = `node-${i + 1}`
    const diskBytes = diskFor(source.image.sizeBytes)
    const { isServer = false } = settings
    const share = Math.min(2, Math.floor(availableParallelism() / settings.nodes))
    const processors = Math.max(isServer ? 2 : 1, share)
    const moreDisks = settings.moreDisks ?? []
    const bmc = isServer ? stack.use(await startBmc(join(folder, `${name}.bmc`))) : undefined
    const server = bmc && { server: { bmcPort: bmc.port } }
    const { hasScreen = false } = settings
    const size = { memoryMib, processors, diskBytes, moreDisks, hasScreen, ...server }
    const options = { name, folder, accelerator, firmware, tap, ...size }
    machines.push(stack.use(await createQemuMachine(options)))
  }
  const byUuid = new Map(machines.map((machine) => [machine.uuid, machine]))
  const ironic = stack.use(
    await createFakeIronic({
      host: LAB_ADDRESS,
      nodes: machines.map(({ uuid, mac, name }) => ({ uuid, mac, name })),
      callbackTimeoutMs: 600_000,
      powerOffWaitMs: 120_000,
      fastTrack: lookups === 'any',
      lookupConfig,
      power: {
        on: ({ uuid }) => byUuid.get(uuid)?.powerOn(),
        isOn: ({ uuid }) => byUuid.get(uuid)?.isOn() ?? false,
        off: ({ uuid }) => byUuid.get(uuid)?.powerOff(),
      },
    }),
  )
  const files = stack.use(
    await startFileServer(await bootFiles(folder, settings.ramdisk, ironic.url), LAB_ADDRESS),
  )
  await offerRamdisk({ settings, machines, network, files, folder, apiUrl: ironic.url })
  const owned = stack.move()
  return {
    accelerator,
    machines,
    source,
    ironic,
    configDrive: async ({ name, uuid }) =>
      (await makeConfigDrive(join(folder, `${name}.config-drive`), { name, uuid })).payload,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** From here on a machine boots its disk, as after a deploy. */
export function bootFromDisk({ setup }: QemuMachine): void {
  setup.device = 'disk'
  setup.kernel = undefined
  setup.cdrom = undefined
  setup.secondCdrom = undefined
}

function diskFor(imageBytes: number): number {
  const GiB = 1024 ** 3
  // a whole number of GiB, with room for the config drive; Ironic takes none below 4
  return Math.max(5, Math.ceil(imageBytes / GiB) + 1) * GiB
}

function kernelLine(apiUrl: string): string {
  return `${KERNEL_WORDS} ipa-api-url=${apiUrl} ipa-debug=1`
}

/** What the network boots: kernel, ramdisk, and a script as the conductor writes it. */
async function bootFiles(folder: string, ramdisk: Ramdisk, apiUrl: string): Promise<string> {
  const root = join(folder, 'http')
  await mkdir(root, { recursive: true })
  await symlink(ramdisk.kernel, join(root, 'kernel'))
  await symlink(ramdisk.initramfs, join(root, 'ramdisk'))
  const words = `${kernelLine(apiUrl)} BOOTIF=\${mac} initrd=ramdisk`
  await writeFile(join(root, 'boot.ipxe'), `#!ipxe\nkernel kernel ${words}\ninitrd ramdisk\nboot\n`)
  return root
}

interface Offer {
  readonly settings: VmSettings
  readonly machines: readonly QemuMachine[]
  readonly network: Network
  readonly files: FileServer
  readonly folder: string
  readonly apiUrl: string
}

async function offerRamdisk(offer: Offer): Promise<void> {
  const { settings, machines, network, files, folder, apiUrl } = offer
  await network.serveBoot(`${files.url}/boot.ipxe`)
  for (const { setup, mac, name } of machines) {
    if (settings.boot === 'pxe') setup.device = 'network'
    if (settings.boot === 'direct') {
      setup.kernel = {
        kernel: settings.ramdisk.kernel,
        initramfs: settings.ramdisk.initramfs,
        cmdline: `${kernelLine(apiUrl)} BOOTIF=${mac}`,
      }
    }
    if (settings.boot === 'iso') {
      setup.device = 'cdrom'
      setup.cdrom = settings.ramdisk.iso
      setup.secondCdrom = await makeParameters(join(folder, `${name}.parameters`), apiUrl)
    }
  }
}

/** Parameters beside a prebuilt ISO: a FAT volume with the label and the file of contract 1.4. */
async function makeParameters(path: string, apiUrl: string): Promise<string> {
  await writeFile(path, new Uint8Array(FLOPPY_BYTES))
  await run('mkfs.vfat', ['-n', 'IR-VFD-DEV', path])
  await writeFile(`${path}.txt`, `ipa-api-url=${apiUrl}\nipa-debug=1\n`)
  await run('mcopy', ['-i', path, `${path}.txt`, '::/parameters.txt'])
  return path
}
