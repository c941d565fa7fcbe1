// SPDX-License-Identifier: Apache-2.0
// Owns what peers and we tell each other of where we are: the rack's name in the extended handshake
// (BEP 10), which comes again when there is a new one. Does not decide what follows from it.
import { isFar, RACK_KEY } from '../peers/neighbours.ts'
import type { LibraryWire } from './types.ts'

export class RackHandshake {
  #rack: string | null
  readonly #isNeighbour: (host: string) => boolean
  readonly #renamed = new Set<() => void>()

  /**
   * @param rack ours; null if it has no name
   * @param isNeighbour by the subnet, where names say nothing
   */
  constructor(rack: string | null, isNeighbour: (host: string) => boolean) {
    this.#rack = rack
    this.#isNeighbour = isNeighbour
  }

  get isNamed(): boolean {
    return this.#rack !== null
  }

  /**
   * Tells a new peer where we are, and listens to where it is; says whether it is far by what is known.
   * @param onPlaced called with each answer of the peer, and when we have got another name
   */
  follow(wire: LibraryWire, onPlaced: (isFar: boolean) => void): () => boolean {
    const isOnSubnet = this.#isNeighbour(wire.remoteAddress ?? '')
    let isElsewhere = !isOnSubnet
    const locate = () => {
      isElsewhere = isFar(this.#rack, wire.peerExtendedHandshake[RACK_KEY], isOnSubnet)
      onPlaced(isElsewhere)
    }
    const introduce = () => {
      if (this.#rack !== null) wire.extendedHandshake[RACK_KEY] = this.#rack
    }
    const rename = () => {
      introduce()
      // if the first handshake is still to come it says so itself
      if (wire._extendedHandshakeSent) wire._sendExtendedHandshake()
      locate()
    }
    introduce()
    wire.on('extended', (what: unknown) => {
      if (what === 'handshake') locate()
    })
    this.#renamed.add(rename)
    wire.once('close', () => this.#renamed.delete(rename))
    return () => isElsewhere
  }

  /** Our rack has got a name. */
  name(rack: string): void {
    if (this.#rack === rack) return
    this.#rack = rack
    for (const rename of this.#renamed) rename()
  }
}
