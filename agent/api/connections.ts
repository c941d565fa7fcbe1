// SPDX-License-Identifier: Apache-2.0
// Owns who may hold connections of the API, and how many: a share for each host, and room for a new one
// while old ones are idle. Does not know what is asked or answered on them.
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** In all, and of one host or /64: a conductor holds one or two, and several may share an address. */
const MOST = 256
const MOST_OF_A_HOST = 32
/** Addresses from which the token came; those that came first are forgotten. Conductors of one group take turns. */
const MOST_KNOWN = 16
/** Requests sent before the answers to those before them. Conductors and their libraries send one. */
const MOST_UNANSWERED = 8

export interface Connections {
  /** For the server's `connection` event. */
  admit(socket: Socket): void
  /**
   * False where the client asked too much at once: its connection is gone, and nothing may be answered.
   * @param onEnd called once, when the answer has left or nobody waits for it any more
   */
  begin(request: IncomingMessage, response: ServerResponse, onEnd: () => void): boolean
  /** The client has shown the agent token: nobody else's connection takes the place of its own, and of its address. */
  trust(request: IncomingMessage): void
  /** Aborts when the request's connection is gone: nobody waits for an answer any more. */
  gone(request: IncomingMessage): AbortSignal
  /** Resolves once no request is under way and its answer has been sent, or after `deadlineMs`. */
  drained(deadlineMs: number): Promise<void>
  closeAll(): void
}

interface Connection {
  readonly socket: Socket
  /** The client's, and the network that one host may own. */
  readonly address: string
  readonly network: string
  /** What ends each request that is under way. */
  readonly unanswered: Set<() => void>
  readonly gone: AbortController
  isTrusted: boolean
  /** Of accepting it, then of each request and each answer; a count, not a clock. */
  lastActive: number
}

/** Without connections. */
export function createConnections(): Connections {
  return new OpenConnections()
}

/**
 * A new one is always let in unless all others are the conductor's and busy. Who goes for it is a stranger while there
 * is one, of the network and then the address that hold most; of these the one that has been idle for longest, else the
 * untrusted one that has been busy for longest. So nobody crowds out an address that has shown the token, not from
 * addresses beside it either, of which an IPv6 host has many.
 */
class OpenConnections implements Connections {
  /** By address and port: with TLS a request knows another socket than the one that was accepted. */
  readonly #open = new Map<string, Connection>()
  readonly #known = new KnownAddresses()
  readonly #bell = new EventEmitter()
  #events = 0
  #underWay = 0

  admit(socket: Socket): void {
    const key = keyOf(socket)
    const address = addressOf(socket)
    if (key === undefined || address === undefined) {
      // it has gone already
      socket.destroy()
      return
    }
    const connection: Connection = {
      socket,
      address,
      network: networkOf(address),
      unanswered: new Set(),
      gone: new AbortController(),
      isTrusted: false,
      lastActive: ++this.#events,
    }
    this.#open.set(key, connection)
    socket.once('close', () => {
      if (this.#open.get(key) === connection) this.#open.delete(key)
      // an answer that waits for an earlier one does not hear of it
      for (const end of connection.unanswered) end()
      connection.gone.abort()
    })
    this.#makeRoomFor(connection)
  }

  begin(request: IncomingMessage, response: ServerResponse, onEnd: () => void): boolean {
    const connection = this.#of(request)
    if (connection === undefined || request.socket.destroyed) return false
    if (connection.unanswered.size >= MOST_UNANSWERED) {
      request.socket.destroy()
      return false
    }
    const end = () => {
      if (!connection.unanswered.delete(end)) return
      connection.lastActive = ++this.#events
      this.#underWay -= 1
      onEnd()
      if (this.#underWay === 0) this.#bell.emit('drained')
    }
    connection.unanswered.add(end)
    connection.lastActive = ++this.#events
    this.#underWay += 1
    // comes after the last byte went to the kernel
    response.once('close', end)
    return true
  }

  trust(request: IncomingMessage): void {
    const connection = this.#of(request)
    if (connection === undefined) return
    connection.isTrusted = true
    this.#known.add(connection.address)
  }

  gone(request: IncomingMessage): AbortSignal {
    return this.#of(request)?.gone.signal ?? AbortSignal.abort()
  }

  async drained(deadlineMs: number): Promise<void> {
    if (this.#underWay === 0) return
    const signal = AbortSignal.timeout(deadlineMs)
    await once(this.#bell, 'drained', { signal }).catch(() => undefined)
  }

  closeAll(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }

  #of({ socket }: IncomingMessage): Connection | undefined {
    return this.#open.get(keyOf(socket) ?? '')
  }

  #makeRoomFor(newcomer: Connection): void {
    const all = [...this.#open.values()]
    const shareOf = (one: Connection) => (this.#known.has(one.address) ? one.address : one.network)
    const ofShare = all.filter((one) => shareOf(one) === shareOf(newcomer))
    if (ofShare.length > MOST_OF_A_HOST) this.#closeOneOf(ofShare, newcomer, shareOf)
    else if (all.length > MOST) this.#closeOneOf(all, newcomer, shareOf)
  }

  #closeOneOf(
    crowd: readonly Connection[],
    newcomer: Connection,
    shareOf: (one: Connection) => string,
  ): void {
    const others = crowd.filter((one) => one !== newcomer && canGo(one))
    const strangers = others.filter(({ address }) => !this.#known.has(address))
    const ofShare = largest(strangers.length > 0 ? strangers : others, shareOf)
    const ofAddress = largest(ofShare, ({ address }) => address)
    const victim = ofAddress.toSorted(firstToGo)[0] ?? newcomer
    victim.socket.destroy()
    this.#open.delete(keyOf(victim.socket) ?? '')
  }
}

/** Addresses from which the token came. */
class KnownAddresses {
  readonly #addresses = new Set<string>()

  has(address: string): boolean {
    return this.#addresses.has(address)
  }

  /** The latest is forgotten last. */
  add(address: string): void {
    this.#addresses.delete(address)
    this.#addresses.add(address)
    for (const oldest of this.#addresses) {
      if (this.#addresses.size <= MOST_KNOWN) break
      this.#addresses.delete(oldest)
    }
  }
}

function canGo({ isTrusted, unanswered }: Connection): boolean {
  return !(isTrusted && unanswered.size > 0)
}

/** Strangers before those that know the token, the idle before the busy, then who said nothing for longest. */
function firstToGo(a: Connection, b: Connection): number {
  return (
    Number(a.isTrusted) - Number(b.isTrusted) ||
    Number(a.unanswered.size > 0) - Number(b.unanswered.size > 0) ||
    a.lastActive - b.lastActive
  )
}

/** Those of the group that is the largest; of all such groups if there are several. */
function largest(
  all: readonly Connection[],
  keyOf: (one: Connection) => string,
): readonly Connection[] {
  const groups = [...Map.groupBy(all, keyOf).values()]
  const most = Math.max(...groups.map(({ length }) => length))
  return groups.filter(({ length }) => length === most).flat()
}

function keyOf({ remoteAddress, remotePort }: Socket): string | undefined {
  return remoteAddress === undefined ? undefined : `${remoteAddress} ${remotePort}`
}

function addressOf({ remoteAddress }: Socket): string | undefined {
  return remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '')
}

/** An IPv6 host owns a /64 at least, so its first four groups count. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':')
    while (groups.length + last.length < 8) groups.push('0')
    groups.push(...last)
  }
  return groups.slice(0, 4).join(':')
}
