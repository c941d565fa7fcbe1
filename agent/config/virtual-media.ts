// SPDX-License-Identifier: Apache-2.0
// Owns which device counts as the virtual medium with kernel parameters, and what is read from it
// (contract 1.4). The devices are shown to it by an injected reader; it touches none.
import { GiB } from '../core/units.ts'
import { parseKernelCmdline } from './kernel-cmdline.ts'

/** One line of `lsblk -n -s -P -b -oKNAME,TRAN,TYPE,SIZE`: the device itself or one it sits on. */
export interface DeviceChainLink {
  readonly type: string
  readonly transport: string | null
  readonly sizeBytes: number
}

/** What virtual-media.ts needs of the machine. */
export interface VirtualMediaReader {
  /** All block devices with their file system label, and `device/model` of sysfs where there is one. */
  devices(): Promise<readonly { path: string; label: string | null; model: string | null }[]>
  /** The device and everything below it (`lsblk -s`). */
  chain(path: string): Promise<readonly DeviceChainLink[]>
  /** A file of the medium's root directory; undefined if it cannot be read. */
  readFile(path: string, name: string): Promise<string | undefined>
}

const PARAMETERS_LABEL = 'ir-vfd-dev'

/** A tenant's disk must not pass for the medium: USB disks are accepted below this size. */
const LARGEST_USB_BYTES = 4 * GiB

/**
 * True if a device may be virtual media: a ROM, or a USB disk under 4 GiB, with no partition in its
 * chain. Anything else could be a tenant's disk that carries the label on purpose (contract 1.4).
 */
export function isVirtualMedium(chain: readonly DeviceChainLink[]): boolean {
  const isRemovable = ({ type, transport, sizeBytes }: DeviceChainLink) =>
    type === 'rom' || (type === 'disk' && transport === 'usb' && sizeBytes < LARGEST_USB_BYTES)
  return chain.length > 0 && chain.every(isRemovable)
}

/**
 * The parameters of `parameters.txt` on the virtual floppy; empty without such a device, which is no error. Every
 * device that carries the label is looked at before those whose model says what they are, and the first that may
 * be virtual media and can be read counts: a label on a tenant's disk hides nothing. Call it only for
 * `boot_method=vmedia`.
 */
export async function readVirtualMediaParameters(
  reader: VirtualMediaReader,
): Promise<Map<string, string>> {
  for (const { path } of candidatesOf(await reader.devices())) {
    if (!isVirtualMedium(await reader.chain(path))) continue
    const text = await reader.readFile(path, 'parameters.txt')
    if (text !== undefined) return parseKernelCmdline(text)
  }
  return new Map()
}

type Device = Awaited<ReturnType<VirtualMediaReader['devices']>>[number]

function candidatesOf(devices: readonly Device[]): Device[] {
  const labelled = devices.filter(({ label }) => label?.toLowerCase() === PARAMETERS_LABEL)
  const named = devices.filter(({ model }) => model?.toLowerCase().includes('virtual media'))
  return [...new Set([...labelled, ...named])]
}
