// SPDX-License-Identifier: Apache-2.0
// Owns reading the tree of a small ISO 9660 image (ECMA-119, Joliet, Rock Ridge names) out of memory.
// Whoever ordered the instance made the image: every address is checked, symlinks and devices are left out.
import { AgentError } from '../../core/errors.ts'
import { createNameReader, type NameReader } from './iso9660-names.ts'

/** A file or directory; paths have no slash in front. Parents come before children. */
export interface TreeEntry {
  readonly path: string
  /** null for a directory. */
  readonly bytes: Uint8Array | null
}

const SECTOR_BYTES = 2048
const FIRST_DESCRIPTOR = 16
const MAX_DESCRIPTORS = 32
const MAX_DEPTH = 16
const MAX_ENTRIES = 4096

const FLAG_DIRECTORY = 0x02
const FLAG_MULTI_EXTENT = 0x80

interface RecordExtent {
  readonly offset: number
  readonly length: number
}

/** One directory record, as its bytes and what they say. */
interface DirectoryRecord extends RecordExtent {
  readonly raw: Buffer
  readonly flags: number
}

/** True if a primary volume descriptor lies where it must. */
export function isIso9660(image: Uint8Array): boolean {
  return identifierAt(viewOf(image), FIRST_DESCRIPTOR) === 'CD001'
}

/**
 * All regular files and directories. Names come from Rock Ridge if it is there, else from Joliet, else
 * from ISO 9660 in lower case. Throws DeploymentError for an image that does not hold together.
 */
export function readIsoTree(image: Uint8Array): TreeEntry[] {
  const view = viewOf(image)
  const descriptors = readDescriptors(view)
  const primary = descriptors.find((descriptor) => descriptor[0] === 1)
  if (primary === undefined) throw broken('no primary volume descriptor')
  const joliet = descriptors.find(isJoliet)
  const primaryRoot = recordAt(primary, 156)
  const names = createNameReader(view, firstRecord(view, primaryRoot))
  const useJoliet = !names.isRockRidge && joliet !== undefined
  const tree: TreeEntry[] = []
  walk(
    {
      view,
      nameOf: useJoliet ? jolietName : names.nameOf,
      isSymlink: names.isSymlink,
      tree,
      seenBytes: 0,
    },
    useJoliet ? recordAt(joliet, 156) : primaryRoot,
    '',
    0,
  )
  return tree
}

interface Walk {
  readonly view: Buffer
  readonly nameOf: NameReader['nameOf']
  readonly isSymlink: NameReader['isSymlink']
  readonly tree: TreeEntry[]
  /** Records may point to the same extent again and again: what is handed out is counted. */
  seenBytes: number
}

function walk(state: Walk, directory: RecordExtent, prefix: string, depth: number): void {
  if (depth > MAX_DEPTH) throw broken(`directories deeper than ${MAX_DEPTH}`)
  for (const record of recordsOf(state.view, directory)) {
    if (state.isSymlink(record.raw)) continue
    const path = prefix + checkedName(state.nameOf(record.raw))
    if (state.tree.length >= MAX_ENTRIES) throw broken(`more than ${MAX_ENTRIES} files`)
    if ((record.flags & FLAG_DIRECTORY) !== 0) {
      state.tree.push({ path, bytes: null })
      walk(state, record, `${path}/`, depth + 1)
      continue
    }
    if ((record.flags & FLAG_MULTI_EXTENT) !== 0) throw broken(`${path} has several extents`)
    state.seenBytes += record.length
    if (state.seenBytes > state.view.length) throw broken('its files overlap')
    state.tree.push({ path, bytes: slice(state.view, record) })
  }
}

/** The records of a directory without `.` and `..`; none crosses a sector (ECMA-119 6.8.1.1). */
function recordsOf(view: Buffer, directory: RecordExtent): DirectoryRecord[] {
  const bytes = slice(view, directory)
  const records: DirectoryRecord[] = []
  let at = 0
  while (at < bytes.length) {
    const length = bytes[at] as number
    if (length === 0) {
      at = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES
      continue
    }
    const record = recordAt(bytes, at)
    const isSelfOrParent = record.raw[32] === 1 && (record.raw[33] as number) <= 1
    if (!isSelfOrParent) records.push(record)
    if (records.length > MAX_ENTRIES) throw broken(`more than ${MAX_ENTRIES} files`)
    at += length
  }
  return records
}

function firstRecord(view: Buffer, directory: RecordExtent): Buffer {
  return recordAt(slice(view, directory), 0).raw
}

/** Parses the record at `at` (ECMA-119 9.1). */
function recordAt(bytes: Buffer, at: number): DirectoryRecord {
  const length = bytes[at] ?? 0
  const raw = bytes.subarray(at, at + length)
  const nameBytes = raw[32] ?? 0
  if (length < 34 || raw.length < length || 33 + nameBytes > length)
    throw broken('a broken directory')
  return {
    raw,
    offset: (raw.readUInt32LE(2) + (raw[1] as number)) * SECTOR_BYTES,
    length: raw.readUInt32LE(10),
    flags: raw[25] as number,
  }
}

function readDescriptors(view: Buffer): Buffer[] {
  const descriptors: Buffer[] = []
  for (let sector = FIRST_DESCRIPTOR; sector < FIRST_DESCRIPTOR + MAX_DESCRIPTORS; sector++) {
    const descriptor = view.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
    if (identifierAt(view, sector) !== 'CD001' || descriptor.length < SECTOR_BYTES) break
    if (descriptor[0] === 255) break
    descriptors.push(descriptor)
  }
  return descriptors
}

function identifierAt(view: Buffer, sector: number): string {
  return view.toString('latin1', sector * SECTOR_BYTES + 1, sector * SECTOR_BYTES + 6)
}

/** A supplementary descriptor with one of Joliet's three escape sequences. */
function isJoliet(descriptor: Buffer): boolean {
  return descriptor[0] === 2 && /^%\/[@CE]/.test(descriptor.toString('latin1', 88, 91))
}

function jolietName(raw: Buffer): string {
  const name = Buffer.from(raw.subarray(33, 33 + (raw[32] as number)))
  if (name.length % 2 !== 0) throw broken('a Joliet name of odd length')
  return name.swap16().toString('utf16le').replace(/;\d+$/, '')
}

/** Names go into paths on a file system: none may lead out of its directory. */
function checkedName(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name)) {
    throw broken(`a file name ${JSON.stringify(name)}`)
  }
  return name
}

function slice(view: Buffer, { offset, length }: RecordExtent): Buffer {
  if (offset + length > view.length) {
    throw broken(`${length} bytes at ${offset} of ${view.length}`)
  }
  return view.subarray(offset, offset + length)
}

function viewOf(image: Uint8Array): Buffer {
  return Buffer.from(image.buffer, image.byteOffset, image.length)
}

function broken(what: string): AgentError {
  return new AgentError('DeploymentError', `the ISO 9660 image cannot be read: it has ${what}`)
}
