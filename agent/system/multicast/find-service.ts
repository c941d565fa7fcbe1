// SPDX-License-Identifier: Apache-2.0
// Owns finding a service by multicast DNS (RFC 6762, 6763): asks on every interface, and takes the first whole answer. Nobody
// vouches for what is answered. Does not make a URL of it.
import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { isLinkLocalIpv6 } from '../network/ip-network.ts'
import { type DnsQuestion, type DnsRecord, formatQuery, parseResponse } from './dns-message.ts'
import { attempt, type MulticastGroup, sendOnEach } from './every-interface.ts'

export interface ServiceRequest {
  /** `baremetal._openstack._tcp.local` */
  readonly name: string
  readonly attempts: number
  /** Addresses of the interfaces to ask on; empty: on all. */
  readonly interfaces: readonly string[]
  readonly signal: AbortSignal
}

export interface FoundService {
  readonly host: string
  readonly port: number
  /** Of the host, in the order they came; at least one, and none of the machine itself or of one link alone. */
  readonly addresses: readonly string[]
  /** `key=value` of the service, keys as they are. A value that is no UTF-8 is left out. */
  readonly properties: ReadonlyMap<string, string>
}

const PORT = 5353
const GROUPS = {
  udp4: { family: 'IPv4', address: '224.0.0.251', port: PORT },
  udp6: { family: 'IPv6', address: 'ff02::fb', port: PORT },
} as const satisfies Record<string, MulticastGroup>
type Kind = keyof typeof GROUPS
/** RFC 6762 §11. */
const TTL = 255
/** ironic-lib's: zeroconf's own patience, and between attempts 0.1 s, then twice as long each. */
const ANSWER_WAIT_MS = 3000
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 3000
/** A datagram may be lost: asked again within an attempt. */
const ASK_AGAIN_MS = 700
/** Asked for their addresses at most. */
const MOST_HOSTS = 8
/** Records that are kept of all answers together. */
const MAX_RECORDS = 256

/**
 * The service, once its port, its text and an address of its host are known; undefined where nobody answers.
 * Throws the signal's reason.
 */
export async function findService(request: ServiceRequest): Promise<FoundService | undefined> {
  const { attempts, signal } = request
  const found = Promise.withResolvers<FoundService>()
  await using asker = openAsker(request, found.resolve)
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (attempt > 0) await sleep(pauseBefore(attempt), signal)
    for (let waited = 0; waited < ANSWER_WAIT_MS; waited += ASK_AGAIN_MS) {
      throwIfAborted(signal)
      await asker.ask()
      const service = await Promise.race([
        found.promise,
        sleep(Math.min(ASK_AGAIN_MS, ANSWER_WAIT_MS - waited), signal),
      ])
      if (service !== undefined) return service
    }
  }
  return undefined
}

function pauseBefore(attempt: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS)
}

interface Asker extends AsyncDisposable {
  /** Sends the questions that are open, on every interface. */
  ask(): Promise<void>
}

function openAsker(
  { name, interfaces }: ServiceRequest,
  onFound: (service: FoundService) => void,
): Asker {
  const records: DnsRecord[] = []
  // who cannot hear what is asked can hardly answer it
  const id = randomInt(1, 0x10000)
  const hear = (datagram: Uint8Array) => {
    const response = parseResponse(datagram)
    if (response?.id !== id) return
    records.push(...response.records.slice(0, MAX_RECORDS - records.length))
    const service = serviceOf(name, records)
    if (service !== undefined) onFound(service)
  }
  const sockets = (['udp4', 'udp6'] as const).map((kind) => ({
    kind,
    socket: openSocket(kind, hear),
  }))
  return {
    ask: async () => {
      const query = formatQuery(id, openQuestions(name, records))
      for (const { kind, socket } of sockets) {
        const opened = await socket
        if (opened) await sendOnEach(opened, GROUPS[kind], query, interfaces)
      }
    },
    [Symbol.asyncDispose]: async () => {
      for (const { socket } of sockets) (await socket)?.close()
    },
  }
}

/** Undefined where the machine has no such protocol. */
function openSocket(type: Kind, hear: (datagram: Uint8Array) => void): Promise<Socket | undefined> {
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>()
  // a port of our own: who answers then answers to it alone, with our id (RFC 6762 §6.7)
  const socket = createSocket({ type, ipv6Only: type === 'udp6' })
  socket.on('message', hear)
  socket.on('error', () => resolve(undefined))
  socket.bind(0, () => {
    attempt(() => socket.setMulticastTTL(TTL))
    resolve(socket)
  })
  return promise
}

function openQuestions(name: string, records: readonly DnsRecord[]): DnsQuestion[] {
  const questions: DnsQuestion[] = [
    { name, type: 'SRV' },
    { name, type: 'TXT' },
  ]
  const hosts = new Set(placesOf(name, records).map(({ target }) => target))
  for (const host of [...hosts].slice(0, MOST_HOSTS)) {
    const addresses: DnsQuestion[] = [
      { name: host, type: 'A' },
      { name: host, type: 'AAAA' },
    ]
    // anybody may answer, with a name that no question can hold
    if (attempt(() => formatQuery(0, addresses))) questions.push(...addresses)
  }
  return questions
}

type Place = Extract<DnsRecord, { type: 'SRV' }>

/** One of them may be of a host that cannot be reached. */
function placesOf(name: string, records: readonly DnsRecord[]): Place[] {
  return records.filter(
    (record): record is Place =>
      record.type === 'SRV' &&
      isSame(record.name, name) &&
      record.port !== 0 &&
      record.target !== '',
  )
}

function serviceOf(name: string, records: readonly DnsRecord[]): FoundService | undefined {
  const text = records.find((record) => record.type === 'TXT' && isSame(record.name, name))
  if (text?.type !== 'TXT') return undefined
  for (const { target, port } of placesOf(name, records)) {
    const addresses = records.flatMap((record) =>
      'address' in record && isSame(record.name, target) && !isNarrow(record.address)
        ? [record.address]
        : [],
    )
    if (addresses.length === 0) continue
    const properties = propertiesOf(text.strings)
    return { host: target, port, addresses: [...new Set(addresses)], properties }
  }
  return undefined
}

/** An IPv6 address of a link needs its zone, which no URL has; the loopback's leads nowhere else. */
function isNarrow(address: string): boolean {
  return isLinkLocalIpv6(address) || /^(127\.|::1$)/.test(address)
}

/** RFC 6763 §6.4: the first of a key counts; one without `=` has no value. */
function propertiesOf(strings: readonly Uint8Array[]): Map<string, string> {
  const properties = new Map<string, string>()
  for (const bytes of strings) {
    const pair = decoded(bytes)
    const at = pair?.indexOf('=') ?? -1
    if (pair === undefined || at < 1) continue
    const key = pair.slice(0, at)
    if (!properties.has(key)) properties.set(key, pair.slice(at + 1))
  }
  return properties
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function isSame(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
