// SPDX-License-Identifier: Apache-2.0
// Owns the room for connections: lets peers in until the limit, and by connection-quota.ts beyond. Does
// not know who a peer is (peer-list.ts), only where.

import { hostOf } from './address.ts'
import { judgeNewcomer } from './connection-quota.ts'

/** Hosts whose rack is remembered. */
const MAX_PLACES = 4096

/** The connections that there are, those that are being made included. */
export interface ConnectionTable {
  /** `host:port`, oldest first. */
  addresses(): string[]
  /** The handshake is done. */
  isMet(address: string): boolean
  close(address: string): void
}

export interface ConnectionRoomOptions {
  readonly limit: number
  /** So many we open ourselves. */
  readonly openLimit: number
  readonly table: ConnectionTable
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
    const { table, openLimit } = this.#options
    const addresses = table.addresses()
    if (addresses.length < openLimit) return true
    const far = addresses.filter((each) => this.#isFar(each)).length
    return far > 0 && far < addresses.length
  }

  /** True if there is room for one more, `host:port`; somebody else may have been closed for it. */
  admit(address: string): boolean {
    const { table, limit } = this.#options
    const addresses = table.addresses()
    const far = addresses.filter((each) => this.#isFar(each)).length
    const counts = { near: addresses.length - far, far }
    const verdict = judgeNewcomer(counts, !this.#isFar(address), limit)
    if (verdict === 'take' || verdict === 'refuse') return verdict === 'take'
    const leaving = addresses.filter((each) => this.#isFar(each) === (verdict === 'replace far'))
    // one that nothing has come from yet, else the newest
    const victim = leaving.findLast((each) => !table.isMet(each)) ?? leaving.at(-1)
    if (victim !== undefined) table.close(victim)
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

/** On loopback, in laboratories, all nodes are one host. */
function placeOf(address: string): string {
  const host = hostOf(address)
  return host.startsWith('127.') || host === '::1' ? address : host
}
