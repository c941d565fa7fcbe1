// SPDX-License-Identifier: Apache-2.0
// Owns the interfaces a datagram to a group goes out on: which there are, and one after the other. What one of them
// refuses is no reason to leave the others out. Does not know what is sent.
import type { Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'

/** Where datagrams to a group go. */
export interface MulticastGroup {
  readonly family: 'IPv4' | 'IPv6'
  readonly address: string
  readonly port: number
}

/**
 * Interfaces as dgram wants them: an address of IPv4, `::%name` of IPv6.
 * @param wanted addresses of those that are meant; empty: all
 */
export function multicastInterfaces(
  family: MulticastGroup['family'],
  wanted: readonly string[] = [],
): string[] {
  const found = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? [])
      .filter((entry) => entry.family === family)
      .filter(({ address }) => wanted.length === 0 || wanted.includes(address))
      .map(({ address }) => (family === 'IPv6' ? `::%${name}` : address)),
  )
  return [...new Set(found)]
}

/** Resolves when the datagram has left on each interface that takes it. */
export async function sendOnEach(
  socket: Socket,
  { family, address, port }: MulticastGroup,
  datagram: Buffer,
  wanted: readonly string[] = [],
): Promise<void> {
  for (const each of multicastInterfaces(family, wanted)) {
    // one after the other: the interface is a setting of the socket, and holds for what is sent later
    if (!attempt(() => socket.setMulticastInterface(each))) continue
    await new Promise<void>((resolve) => {
      if (!attempt(() => socket.send(datagram, port, address, () => resolve()))) resolve()
    })
  }
}

/** False where it throws: for what a socket may refuse, and nothing hangs on. */
export function attempt(work: () => void): boolean {
  try {
    work()
    return true
  } catch {
    return false
  }
}
