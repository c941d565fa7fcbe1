// SPDX-License-Identifier: Apache-2.0
// Owns what the first bytes of a vmdk, vhd, vhdx or vdi must say before qemu's reader is let near it (contract
// 5.3.6): nothing that names another file, no kind but those that hold a whole disk. Does not unpack.
import { AgentError } from '../../../core/errors.ts'

/** The formats that are read by qemu, with the names of its drivers (qemu-img(1)). */
export const QEMU_DRIVERS = { vmdk: 'vmdk', vhd: 'vpc', vhdx: 'vhdx', vdi: 'vdi' } as const
export type QemuFormat = keyof typeof QEMU_DRIVERS

export interface QemuHeader {
  /** Null where it lies further on in the file: the reader tells it. */
  readonly virtualBytes: number | null
}

const SECTOR_BYTES = 512
/** Far beyond every disk: 2^50. */
const MAX_VIRTUAL_BYTES = 2 ** 50

/**
 * Throws InvalidImage that says what was found and what is allowed.
 * @param firstBytes the beginning of the file, at least what image-format.ts sniffs of it
 */
export function judgeQemuHeader(format: QemuFormat, firstBytes: Uint8Array): QemuHeader {
  const bytes = Buffer.from(firstBytes.buffer, firstBytes.byteOffset, firstBytes.byteLength)
  if (format === 'vmdk') return { virtualBytes: judgeVmdk(bytes) }
  if (format === 'vhd') return { virtualBytes: judgeVhd(bytes) }
  if (format === 'vdi') return { virtualBytes: judgeVdi(bytes) }
  // its metadata may lie anywhere; qemu's reader refuses those with a parent
  return { virtualBytes: null }
}

const VMDK_HEADER_BYTES = 79
/** What qemu reads of a descriptor. */
const QEMU_DESCRIPTOR_BYTES = 20 * SECTOR_BYTES
const VMDK_TYPES = ['monolithicSparse', 'streamOptimized']

/** VMware's Virtual Disk Format 5.0: the sparse extent header and the descriptor inside of it. */
function judgeVmdk(bytes: Buffer): number {
  if (bytes.subarray(0, 4).toString('latin1') !== 'KDMV') {
    throw refused(
      'vmdk',
      'it is a descriptor that names other files, or an old COW extent',
      'sparse files that hold everything (monolithicSparse, streamOptimized)',
    )
  }
  if (bytes.length < VMDK_HEADER_BYTES) throw tooShort('vmdk', bytes)
  const sectors = safe('vmdk', 'capacity', bytes.readBigUInt64LE(12))
  const at = safe('vmdk', 'descriptor offset', bytes.readBigUInt64LE(28)) * SECTOR_BYTES
  const length = safe('vmdk', 'descriptor size', bytes.readBigUInt64LE(36)) * SECTOR_BYTES
  // of a header without capacity the descriptor decides what is read: also other files
  const virtualBytes = requireVirtualBytes('vmdk', sectors * SECTOR_BYTES)
  // where qemu looks for a parent, whatever the header says
  if (at !== SECTOR_BYTES || length === 0 || at + length > bytes.length) {
    throw refused(
      'vmdk',
      `its descriptor is at byte ${at} with ${length} bytes`,
      `one at byte ${SECTOR_BYTES}, within the first ${bytes.length} bytes`,
    )
  }
  const text = bytes.subarray(at, at + Math.max(length, QEMU_DESCRIPTOR_BYTES)).toString('latin1')
  if (/parentFileNameHint/i.test(text)) {
    throw refused('vmdk', 'it has a parent image', 'images that stand alone')
  }
  judgeDescriptor(text)
  return virtualBytes
}

const EXTENT = /^(\w+) +(\d+) +(\w+)(?: +"([^"]*)")?(?: +\d+)?$/
const SETTING = /^([\w.]+) *= *(?:"([^"]*)"|(\S*))$/

function judgeDescriptor(text: string): void {
  const end = text.indexOf('\0')
  const lines = (end < 0 ? text : text.slice(0, end))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const isExtent = (line: string) => /^(?:RW|RDONLY|NOACCESS)\b/.test(line)
  judgeSettings(lines.filter((line) => !isExtent(line)))
  const extents = lines.filter(isExtent)
  const found = EXTENT.exec(extents[0] ?? '')
  const isOwn = found?.[3] === 'SPARSE' && !(found[4] ?? '').includes('/')
  if (extents.length === 1 && isOwn) return
  throw refused(
    'vmdk',
    `its descriptor has ${extents.length} extents: ${quoted(extents.join('; '))}`,
    'one SPARSE extent, without a path',
  )
}

function judgeSettings(lines: readonly string[]): void {
  let type: string | undefined
  for (const line of lines) {
    const [, key, quotedValue, value] = SETTING.exec(line) ?? []
    if (key === undefined) {
      throw refused('vmdk', `its descriptor has the line ${quoted(line)}`, 'key=value')
    }
    const set = (quotedValue ?? value ?? '').toLowerCase()
    const name = key.toLowerCase()
    if (name === 'createtype') type = set
    if (name === 'parentfilenamehint' || (name === 'parentcid' && set !== 'ffffffff')) {
      throw refused('vmdk', 'it has a parent image', 'images that stand alone')
    }
  }
  if (VMDK_TYPES.some((allowed) => allowed.toLowerCase() === type)) return
  throw refused('vmdk', `its createType is ${quoted(type ?? 'missing')}`, VMDK_TYPES.join(', '))
}

const VHD_FOOTER_BYTES = 512
const VHD_DYNAMIC = 3
const VHD_TYPES = new Map([
  [2, 'fixed'],
  [4, 'differencing'],
])

/** Microsoft's VHD specification 1.0: a copy of the footer begins every dynamic disk. */
function judgeVhd(bytes: Buffer): number {
  if (bytes.length < VHD_FOOTER_BYTES) throw tooShort('vhd', bytes)
  const type = bytes.readUInt32BE(60)
  if (type !== VHD_DYNAMIC) {
    const name = VHD_TYPES.get(type) ?? 'of an unknown type'
    throw refused('vhd', `it is ${name} (${type})`, 'dynamic ones')
  }
  return requireVirtualBytes('vhd', safe('vhd', 'size', bytes.readBigUInt64BE(48)))
}

const VDI_HEADER_BYTES = 0x1c8
const VDI_TYPES = [1, 2]

/** VirtualBox's VDICore.h: header version 1.1. */
function judgeVdi(bytes: Buffer): number {
  if (bytes.length < VDI_HEADER_BYTES) throw tooShort('vdi', bytes)
  const type = bytes.readUInt32LE(0x4c)
  if (!VDI_TYPES.includes(type)) {
    throw refused('vdi', `it is of type ${type}`, 'dynamic (1) and static (2) ones')
  }
  return requireVirtualBytes('vdi', safe('vdi', 'size', bytes.readBigUInt64LE(0x170)))
}

function safe(format: QemuFormat, what: string, value: bigint): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
  throw refused(format, `its ${what} is ${value}`, `at most ${MAX_VIRTUAL_BYTES} bytes`)
}

function requireVirtualBytes(format: QemuFormat, virtualBytes: number): number {
  const isWhole = virtualBytes % SECTOR_BYTES === 0
  if (virtualBytes > 0 && virtualBytes <= MAX_VIRTUAL_BYTES && isWhole) return virtualBytes
  throw refused(
    format,
    `its disk has ${virtualBytes} bytes`,
    `whole sectors of ${SECTOR_BYTES}, up to ${MAX_VIRTUAL_BYTES} bytes`,
  )
}

function tooShort(format: QemuFormat, bytes: Buffer): AgentError {
  return refused(format, `it has only ${bytes.length} bytes`, 'a whole header')
}

function refused(format: QemuFormat, found: string, allowed: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the ${format} image is not written: ${found}; allowed: ${allowed}`,
  )
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
