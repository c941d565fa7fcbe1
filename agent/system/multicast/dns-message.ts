// SPDX-License-Identifier: Apache-2.0
// Owns DNS messages as multicast DNS needs them (RFC 1035 §4, RFC 6762): a question, and the records of an answer. Anybody
// on the network may send one, so that nothing of it is believed to be long enough. No sockets.
import { isIPv6 } from 'node:net'

/** Types of records. */
export const DNS_TYPES = { A: 1, TXT: 16, AAAA: 28, SRV: 33 } as const
export type DnsType = keyof typeof DNS_TYPES

export interface DnsQuestion {
  /** With dots between labels, none at the end. */
  readonly name: string
  readonly type: DnsType
}

export type DnsRecord = { readonly name: string } & (
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'SRV'; readonly target: string; readonly port: number }
  | { readonly type: 'TXT'; readonly strings: readonly Uint8Array[] }
)

const HEADER_BYTES = 12
const RESPONSE = 0x8000
const CLASS_IN = 1
/** In questions: answer me alone; in records: forget what you knew (RFC 6762 §5.4, §10.2). */
const TOP_BIT = 0x8000
const POINTER = 0xc0
/** RFC 1035 §2.3.4. */
const MAX_LABEL = 63
const MAX_NAME_CHARS = 255
/** Records of one message; a service has about ten. */
const MAX_RECORDS = 256

/** A query of an id, whose answers go to who asks alone. Throws RangeError for a label that is too long. */
export function formatQuery(id: number, questions: readonly DnsQuestion[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(id, 0)
  header.writeUInt16BE(questions.length, 4)
  const parts = questions.flatMap(({ name, type }) => {
    const tail = Buffer.alloc(4)
    tail.writeUInt16BE(DNS_TYPES[type], 0)
    tail.writeUInt16BE(CLASS_IN | TOP_BIT, 2)
    return [formatName(name), tail]
  })
  return Buffer.concat([header, ...parts])
}

function formatName(name: string): Buffer {
  const labels = name.split('.').map((label) => {
    const bytes = Buffer.from(label)
    if (bytes.length === 0 || bytes.length > MAX_LABEL) throw new RangeError(`label ${label}`)
    return Buffer.concat([Buffer.of(bytes.length), bytes])
  })
  return Buffer.concat([...labels, Buffer.of(0)])
}

export interface DnsResponse {
  readonly id: number
  /** Of all sections; those of other types and classes are left out. */
  readonly records: readonly DnsRecord[]
}

/** Undefined for what is no response, and for one that is broken anywhere. */
export function parseResponse(datagram: Uint8Array): DnsResponse | undefined {
  const message = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength)
  try {
    return readResponse(message)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Throws RangeError, as Buffer does beyond its end. */
function readResponse(message: Buffer): DnsResponse | undefined {
  if (message.length < HEADER_BYTES || (message.readUInt16BE(2) & RESPONSE) === 0) return undefined
  let at = HEADER_BYTES
  for (let left = message.readUInt16BE(4); left > 0; left--) at = readName(message, at).next + 4
  const count = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10)
  if (count > MAX_RECORDS) return undefined
  const records: DnsRecord[] = []
  for (let left = count; left > 0; left--) {
    const { name, next } = readName(message, at)
    const [type, kind] = [message.readUInt16BE(next), message.readUInt16BE(next + 2)]
    const [from, length] = [next + 10, message.readUInt16BE(next + 8)]
    at = from + length
    if (at > message.length) throw new RangeError('record beyond the end')
    if ((kind & ~TOP_BIT) !== CLASS_IN) continue
    const record = readRecord(message, { name, type, from, end: at })
    if (record !== undefined) records.push(record)
  }
  return { id: message.readUInt16BE(0), records }
}

interface RecordPlace {
  readonly name: string
  readonly type: number
  /** Where what it says begins and ends in the message. */
  readonly from: number
  readonly end: number
}

function readRecord(
  message: Buffer,
  { name, type, from, end }: RecordPlace,
): DnsRecord | undefined {
  const data = message.subarray(from, end)
  if (type === DNS_TYPES.A && data.length === 4) {
    return { name, type: 'A', address: data.join('.') }
  }
  if (type === DNS_TYPES.AAAA && data.length === 16) {
    return { name, type: 'AAAA', address: formatIpv6(data) }
  }
  if (type === DNS_TYPES.SRV) {
    const target = readName(message, from + 6).name
    return { name, type: 'SRV', target, port: data.readUInt16BE(4) }
  }
  if (type === DNS_TYPES.TXT) return { name, type: 'TXT', strings: readStrings(data) }
  return undefined
}

function readStrings(data: Buffer): Uint8Array[] {
  const strings: Uint8Array[] = []
  for (let at = 0; at < data.length; at += 1 + data.readUInt8(at)) {
    const end = at + 1 + data.readUInt8(at)
    if (end > data.length) throw new RangeError('text beyond the end')
    strings.push(Uint8Array.from(data.subarray(at + 1, end)))
  }
  return strings
}

/** The name at `at`, and where what follows it begins. A pointer must lead back: so no name goes in circles. */
function readName(message: Buffer, at: number): { readonly name: string; readonly next: number } {
  const labels: string[] = []
  let next: number | undefined
  let chars = 0
  for (let here = at, bound = at; ; ) {
    const length = message.readUInt8(here)
    if ((length & POINTER) === POINTER) {
      const target = message.readUInt16BE(here) & 0x3fff
      if (target >= bound) throw new RangeError('pointer leads forward')
      next ??= here + 2
      here = bound = target
      continue
    }
    if (length > MAX_LABEL) throw new RangeError('label of another kind')
    here += 1 + length
    if (length === 0) return { name: labels.join('.'), next: next ?? here }
    if (here > message.length) throw new RangeError('label beyond the end')
    chars += length + 1
    if (chars > MAX_NAME_CHARS) throw new RangeError('name too long')
    labels.push(message.toString('utf8', here - length, here))
  }
}

function formatIpv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16))
  const text = groups.join(':')
  // as URLs and logs have it: `::` for the zeros
  return isIPv6(text) ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text
}
