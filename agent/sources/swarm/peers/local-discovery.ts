// SPDX-License-Identifier: Apache-2.0
// Owns finding peers on the own subnet by multicast (BEP 14), for the time when no tracker answers. Does
// not connect to them.
import { randomBytes } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { messageOf } from '../../../core/errors.ts'
import {
  attempt,
  multicastInterfaces,
  sendOnEach,
} from '../../../system/multicast/every-interface.ts'
import { isLinkLocalIpv6 } from '../../../system/network/ip-network.ts'
import { formatLsd, parseLsd } from './lsd-message.ts'

const PORT = 6771
const GROUPS = [
  {
    type: 'udp4',
    family: 'IPv4',
    address: '239.192.152.143',
    port: PORT,
    host: `239.192.152.143:${PORT}`,
  },
  {
    type: 'udp6',
    family: 'IPv6',
    address: 'ff15::efc0:988f',
    port: PORT,
    host: `[ff15::efc0:988f]:${PORT}`,
  },
] as const

const LOOK_MS = 500
/** Nodes that start together wait this long for the first answer of a tracker. */
const FIRST_ANSWER_MS = 4000
/** Some rounds of announcer.ts without any answer. */
const SILENT_MS = { downloading: 15_000, seeding: 90_000 }
/** A datagram may be lost, and a switch may not have learned of the group: three soon after each other. */
const FIRST_GAPS_MS = [2000, 4000]
/** BEP 14: at most one a minute, at least one in five. */
const GAP_MS = { downloading: 60_000, seeding: 300_000 }
/** More than a rack says; the rest of a flood is not even parsed. */
const MAX_PER_LOOK = 32

export interface LocalDiscoveryOptions {
  /** `auto`: while no tracker answers. */
  readonly mode: 'auto' | 'always'
  readonly hasTrackers: boolean
  readonly infoHash: string
  /** TCP port peers connect to. */
  readonly port: number
  isDownloading(): boolean
  /** Nobody else's datagrams are believed. */
  isNeighbour(host: string): boolean
  /** `host:port` of a peer that has announced itself, perhaps not for the first time. */
  onPeer(address: string): void
  onTrouble(message: string): void
  readonly random: () => number
  readonly now: () => number
}

export interface LocalDiscovery {
  noteTrackerAnswer(): void
  close(): void
}

interface Group {
  readonly socket: Socket
  readonly kind: (typeof GROUPS)[number]
}

/** Looks at once whether it is needed, and from then on until it is closed. */
export function createLocalDiscovery(options: LocalDiscoveryOptions): LocalDiscovery {
  return new MulticastDiscovery(options)
}

class MulticastDiscovery implements LocalDiscovery {
  readonly #options: LocalDiscoveryOptions
  readonly #cookie = randomBytes(8).toString('hex')
  readonly #startedAt: number
  readonly #timer: NodeJS.Timeout
  #answeredAt: number | undefined
  /** Joined when they were needed first. */
  #groups: readonly Group[] | undefined
  #announcements = 0
  #nextAt = 0
  /** Datagrams since the last look. */
  #heard = 0

  constructor(options: LocalDiscoveryOptions) {
    this.#options = options
    this.#startedAt = options.now()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
    this.#look()
  }

  noteTrackerAnswer(): void {
    this.#answeredAt = this.#options.now()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const { socket } of this.#groups ?? []) closeQuietly(socket)
  }

  #look(): void {
    this.#heard = 0
    if (!this.#isNeeded()) return
    // bound by the next time
    if (this.#groups === undefined) this.#groups = this.#openGroups()
    else if (this.#options.now() >= this.#nextAt) this.#announce(this.#groups)
  }

  #isNeeded(): boolean {
    const { mode, hasTrackers, now } = this.#options
    if (mode === 'always' || !hasTrackers) return true
    if (this.#answeredAt === undefined) return now() - this.#startedAt > FIRST_ANSWER_MS
    return now() - this.#answeredAt > SILENT_MS[this.#phase]
  }

  get #phase(): 'downloading' | 'seeding' {
    return this.#options.isDownloading() ? 'downloading' : 'seeding'
  }

  #openGroups(): Group[] {
    const hear = (datagram: Uint8Array, from: RemoteInfo) => this.#hear(datagram, from)
    return GROUPS.map((kind) => ({ kind, socket: openGroup(kind, hear, this.#options.onTrouble) }))
  }

  #announce(groups: readonly Group[]): void {
    const { now, random, infoHash, port } = this.#options
    const gapMs = FIRST_GAPS_MS[this.#announcements] ?? GAP_MS[this.#phase]
    this.#announcements += 1
    this.#nextAt = now() + gapMs * (1 + 0.2 * random())
    for (const { kind, socket } of groups) {
      const message = { port, infoHashes: [infoHash], cookie: this.#cookie }
      const datagram = Buffer.from(formatLsd(kind.host, message))
      sendEverywhere(socket, kind, datagram).catch(() => undefined)
    }
  }

  #hear(datagram: Uint8Array, { address, family }: RemoteInfo): void {
    this.#heard += 1
    if (this.#heard > MAX_PER_LOOK) return
    const { infoHash, isNeighbour, onPeer } = this.#options
    const message = parseLsd(datagram)
    if (message === undefined || message.cookie === this.#cookie) return
    if (!message.infoHashes.includes(infoHash)) return
    // link-local addresses say nothing without their zone, which the client does not know
    if (isLinkLocalIpv6(address) || !isNeighbour(address)) return
    onPeer(family === 'IPv6' ? `[${address}]:${message.port}` : `${address}:${message.port}`)
  }
}

/** Bound to the group itself: nothing that was sent to us alone, from afar perhaps, is heard. */
function openGroup(
  kind: Group['kind'],
  onMessage: (datagram: Uint8Array, from: RemoteInfo) => void,
  onTrouble: (message: string) => void,
): Socket {
  const socket = createSocket({ type: kind.type, reuseAddr: true, ipv6Only: kind.type === 'udp6' })
  socket.on('message', onMessage)
  socket.on('error', (error) => {
    onTrouble(`local discovery by ${kind.family}: ${messageOf(error)}`)
    closeQuietly(socket)
  })
  socket.bind(PORT, kind.address, () => joinEverywhere(socket, kind))
  return socket
}

/** Interfaces come up late, so this is tried before each announcement; those that are joined refuse. */
function joinEverywhere(socket: Socket, kind: Group['kind']): void {
  for (const each of multicastInterfaces(kind.family)) {
    attempt(() => socket.addMembership(kind.address, each))
  }
}

async function sendEverywhere(socket: Socket, kind: Group['kind'], text: Buffer): Promise<void> {
  attempt(() => joinEverywhere(socket, kind))
  await sendOnEach(socket, kind, text)
}

function closeQuietly(socket: Socket): void {
  attempt(() => socket.close())
}
