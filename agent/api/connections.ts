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

/**
 * Without connections. A new one is always let in unless all others are the conductor's and busy. Who goes for
 * it is a stranger while there is one, of the network and then the address that hold most; of these the
 * one that has been idle for longest, else the untrusted one that has been busy for longest. So nobody crowds
 * out an address that has shown the token, not from addresses beside it either, of which an IPv6 host has many.
 */
export function createConnections(): Connections {
  /** By address and port: with TLS a request knows another socket than the one that was accepted. */
  const open = new Map<string, Connection>()
  let events = 0
  let underWay = 0
  const bell = new EventEmitter()

  const known = new Set<string>()
  const isKnown = ({ address }: Connection) => known.has(address)
  const shareOf = (one: Connection) => (isKnown(one) ? one.address : one.network)

  const closeOneOf = (crowd: readonly Connection[], newcomer: Connection) => {
    const others = crowd.filter((one) => one !== newcomer && canGo(one))
    const strangers = others.filter((one) => !isKnown(one))
    const ofShare = largest(strangers.length > 0 ? strangers : others, shareOf)
    const ofAddress = largest(ofShare, ({ address }) => address)
    const victim = ofAddress.toSorted(firstToGo)[0] ?? newcomer
    victim.socket.destroy()
    open.delete(keyOf(victim.socket) ?? '')
  }

  return {
    admit: (socket) => {
      const key = keyOf(socket)
      const address = addressOf(socket)
      // it has gone already
      if (key === undefined || address === undefined) return void socket.destroy()
      const connection: Connection = {
        socket,
        address,
        network: networkOf(address),
        unanswered: new Set(),
        gone: new AbortController(),
        isTrusted: false,
        lastActive: ++events,
      }
      open.set(key, connection)
      socket.once('close', () => {
        if (open.get(key) === connection) open.delete(key)
        // an answer that waits for an earlier one does not hear of it
        for (const end of connection.unanswered) end()
        connection.gone.abort()
      })
      const all = [...open.values()]
      const ofShare = all.filter((one) => shareOf(one) === shareOf(connection))
      if (ofShare.length > MOST_OF_A_HOST) closeOneOf(ofShare, connection)
      else if (all.length > MOST) closeOneOf(all, connection)
    },
    begin: (request, response, onEnd) => {
      const connection = open.get(keyOf(request.socket) ?? '')
      if (connection === undefined || request.socket.destroyed) return false
      if (connection.unanswered.size >= MOST_UNANSWERED) {
        request.socket.destroy()
        return false
      }
      const end = () => {
        if (!connection.unanswered.delete(end)) return
        connection.lastActive = ++events
        underWay -= 1
        onEnd()
        if (underWay === 0) bell.emit('drained')
      }
      connection.unanswered.add(end)
      connection.lastActive = ++events
      underWay += 1
      // comes after the last byte went to the kernel
      response.once('close', end)
      return true
    },
    trust: (request) => {
      const connection = open.get(keyOf(request.socket) ?? '')
      if (connection === undefined) return
      connection.isTrusted = true
      known.delete(connection.address)
      known.add(connection.address)
      for (const oldest of known) {
        if (known.size <= MOST_KNOWN) break
        known.delete(oldest)
      }
    },
    gone: (request) => open.get(keyOf(request.socket) ?? '')?.gone.signal ?? AbortSignal.abort(),
    drained: async (deadlineMs) => {
      if (underWay === 0) return
      await once(bell, 'drained', { signal: AbortSignal.timeout(deadlineMs) }).catch(
        () => undefined,
      )
    },
    closeAll: () => {
      for (const { socket } of open.values()) socket.destroy()
    },
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
