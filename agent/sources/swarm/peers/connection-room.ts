// SPDX-License-Identifier: Apache-2.0
// Owns the room for connections: lets peers in until the limit, and by connection-quota.ts beyond. Does
// not know who a peer is (peer-list.ts), only where.

import type { LibraryTorrent } from '../library/types.ts'
import { judgeNewcomer } from './connection-quota.ts'

/** Hosts whose rack is remembered. */
const MAX_PLACES = 4096

export interface ConnectionRoomOptions {
  readonly limit: number
  /** So many we open ourselves. */
  readonly openLimit: number
  readonly torrent: Pick<LibraryTorrent, '_peers' | 'removePeer'>
  /** By the subnet: what is known before anybody has said anything. */
  isNeighbour(host: string): boolean
}

export class ConnectionRoom {
  readonly #options: ConnectionRoomOptions
  /**
   * Whether it is far, by host: the subnet's answer until a peer there has named its rack. By host, because
   * whoever was refused comes again from another port.
   */
  readonly #places = new Map<string, boolean>()

  constructor(options: ConnectionRoomOptions) {
    this.#options = options
  }

  /** The peer at this address has said where it is. */
  place(address: string, isFar: boolean): void {
    if (this.#places.size >= MAX_PLACES) this.#places.clear()
    this.#places.set(placeOf(address), isFar)
  }

  /** True if we should connect to somebody; neighbours are looked for as long as there are others. */
  mayOpen(): boolean {
    const { torrent, openLimit } = this.#options
    const addresses = [...(torrent._peers?.keys() ?? [])]
    if (addresses.length < openLimit) return true
    const far = addresses.filter((each) => this.#isFar(each)).length
    return far > 0 && far < addresses.length
  }

  /** True if there is room for one more, `host:port`; somebody else may have been closed for it. */
  admit(address: string): boolean {
    const { torrent, limit } = this.#options
    const peers = [...(torrent._peers ?? [])]
    const far = peers.filter(([each]) => this.#isFar(each))
    const counts = { near: peers.length - far.length, far: far.length }
    const verdict = judgeNewcomer(counts, !this.#isFar(address), limit)
    if (verdict === 'take' || verdict === 'refuse') return verdict === 'take'
    const leaving = peers.filter(([each]) => this.#isFar(each) === (verdict === 'replace far'))
    // one that nothing has come from yet, else the newest
    const [victim] = leaving.findLast(([, peer]) => peer.wire === null) ?? leaving.at(-1) ?? []
    if (victim !== undefined) torrent.removePeer(victim)
    return victim !== undefined
  }

  #isFar(address: string): boolean {
    const known = this.#places.get(placeOf(address))
    if (known !== undefined) return known
    const isFar = !this.#options.isNeighbour(hostOf(address))
    this.place(address, isFar)
    return isFar
  }
}

/** Trackers write [fd78::1]:6881 and 10.0.0.1:6881, sockets fd78::1:6881 and ::ffff:10.0.0.1:6881. */
function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(':'))
  if (host.startsWith('[')) return host.slice(1, -1)
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice('::ffff:'.length) : host
}

/** On loopback, in laboratories, all nodes are one host. */
function placeOf(address: string): string {
  const host = hostOf(address)
  return host.startsWith('127.') || host === '::1' ? address : host
}
