// SPDX-License-Identifier: Apache-2.0
// Owns the names in directory records of ISO 9660: plain ones, and Rock Ridge's out of the System Use
// area (SUSP 1.12, RRIP 1.12). Does not follow extents of files.

export interface NameReader {
  readonly isRockRidge: boolean
  nameOf(record: Buffer): string
  isSymlink(record: Buffer): boolean
}

interface SystemUseEntry {
  readonly signature: string
  readonly body: Buffer
}

const SECTOR_BYTES = 2048
/** Continuation areas may point in circles. */
const MAX_CONTINUATIONS = 8
const NAME_CONTINUES = 0x01

/** @param firstRecord the root's record of itself: it says whether and where System Use areas begin */
export function createNameReader(image: Buffer, firstRecord: Buffer): NameReader {
  const rootArea = systemUseArea(firstRecord, 0)
  // SP: bytes to skip in the System Use area of every other record (SUSP 5.3)
  const isRockRidge = rootArea.toString('latin1', 0, 2) === 'SP' && rootArea.length >= 7
  const skip = isRockRidge ? (rootArea[6] as number) : 0
  const entriesOf = (record: Buffer) =>
    isRockRidge ? readSystemUse(image, systemUseArea(record, skip)) : []
  return {
    isRockRidge,
    nameOf: (record) => {
      const parts = entriesOf(record).filter(({ signature }) => signature === 'NM')
      return parts.length > 0 ? joinName(parts) : plainName(record)
    },
    isSymlink: (record) => entriesOf(record).some(({ signature }) => signature === 'SL'),
  }
}

function joinName(parts: readonly SystemUseEntry[]): string {
  const bytes: Buffer[] = []
  for (const { body } of parts) {
    bytes.push(body.subarray(1))
    if (((body[0] ?? 0) & NAME_CONTINUES) === 0) break
  }
  return Buffer.concat(bytes).toString('utf8')
}

/** `META_DAT.JSO;1` in lower case, without version and without the dot of an empty extension. */
function plainName(record: Buffer): string {
  return record
    .toString('latin1', 33, 33 + (record[32] as number))
    .replace(/;\d+$/, '')
    .replace(/\.$/, '')
    .toLowerCase()
}

/** What follows the name, padded to an even offset (ECMA-119 9.1.12, 9.1.13). */
function systemUseArea(record: Buffer, skip: number): Buffer {
  const nameBytes = record[32] as number
  const start = 33 + nameBytes + (nameBytes % 2 === 0 ? 1 : 0)
  return record.subarray(start + skip)
}

function readSystemUse(image: Buffer, first: Buffer): SystemUseEntry[] {
  const entries: SystemUseEntry[] = []
  let area: Buffer | undefined = first
  for (let i = 0; area !== undefined && i < MAX_CONTINUATIONS; i++) {
    const found = parseArea(area)
    entries.push(...found)
    const continuation = found.findLast(({ signature }) => signature === 'CE')
    area = continuation && continuationArea(image, continuation.body)
  }
  return entries
}

function parseArea(area: Buffer): SystemUseEntry[] {
  const entries: SystemUseEntry[] = []
  let at = 0
  while (at + 4 <= area.length) {
    const length = area[at + 2] as number
    const signature = area.toString('latin1', at, at + 2)
    if (length < 4 || at + length > area.length || signature === 'ST') break
    entries.push({ signature, body: area.subarray(at + 4, at + length) })
    at += length
  }
  return entries
}

/** CE: block, offset and length, each little- and big-endian (SUSP 5.1). */
function continuationArea(image: Buffer, body: Buffer): Buffer | undefined {
  if (body.length < 24) return undefined
  const start = body.readUInt32LE(0) * SECTOR_BYTES + body.readUInt32LE(8)
  const end = start + body.readUInt32LE(16)
  return end <= image.length ? image.subarray(start, end) : undefined
}
