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

export function createLocalDiscovery(options: LocalDiscoveryOptions): LocalDiscovery {
  const { now, random, infoHash, port } = options
  const cookie = randomBytes(8).toString('hex')
  const startedAt = now()
  let answeredAt: number | undefined
  let groups: Group[] | undefined
  let announcements = 0
  let nextAt = 0
  let heard = 0

  function isNeeded(): boolean {
    if (options.mode === 'always' || !options.hasTrackers) return true
    if (answeredAt === undefined) return now() - startedAt > FIRST_ANSWER_MS
    return now() - answeredAt > SILENT_MS[options.isDownloading() ? 'downloading' : 'seeding']
  }

  function look(): void {
    heard = 0
    if (!isNeeded()) return
    if (groups === undefined) {
      groups = GROUPS.map((kind) => ({ kind, socket: openGroup(kind, hear, options.onTrouble) }))
      return // bound by the next time
    }
    if (now() < nextAt) return
    const gap =
      FIRST_GAPS_MS[announcements] ?? GAP_MS[options.isDownloading() ? 'downloading' : 'seeding']
    announcements += 1
    nextAt = now() + gap * (1 + 0.2 * random())
    for (const { kind, socket } of groups) {
      const text = formatLsd(kind.host, { port, infoHashes: [infoHash], cookie })
      sendEverywhere(socket, kind, Buffer.from(text)).catch(() => undefined)
    }
  }

  function hear(datagram: Uint8Array, { address, family }: RemoteInfo): void {
    heard += 1
    if (heard > MAX_PER_LOOK) return
    const message = parseLsd(datagram)
    if (message === undefined || message.cookie === cookie) return
    if (!message.infoHashes.includes(infoHash)) return
    // link-local addresses say nothing without their zone, which the client does not know
    if (/^fe[89ab]/i.test(address) || !options.isNeighbour(address)) return
    options.onPeer(
      family === 'IPv6' ? `[${address}]:${message.port}` : `${address}:${message.port}`,
    )
  }

  const timer = setInterval(look, LOOK_MS)
  look()
  return {
    noteTrackerAnswer: () => {
      answeredAt = now()
    },
    close: () => {
      clearInterval(timer)
      for (const { socket } of groups ?? []) closeQuietly(socket)
    },
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
