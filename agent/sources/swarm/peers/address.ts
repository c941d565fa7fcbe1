// SPDX-License-Identifier: Apache-2.0
// Owns how addresses of peers are read: trackers, sockets and datagrams write the same one in several
// ways. Does not know who is there.

/**
 * The host as an address of its own family: sockets show IPv4 peers of a dual-stack listener as
 * `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2). What is no such address comes back as it is.
 */
export function plainHost(host: string): string {
  return host.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
}

/** Trackers write [fd78::1]:6881 and 10.0.0.1:6881, sockets fd78::1:6881 and ::ffff:10.0.0.1:6881. */
export function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(':'))
  return plainHost(host.startsWith('[') ? host.slice(1, -1) : host)
}

/** As people write it: `10.0.0.1:6881`, `[fd78::1]:6881`. */
export function shownAddress(address: string): string {
  const host = hostOf(address)
  const port = address.slice(address.lastIndexOf(':'))
  return `${host.includes(':') ? `[${host}]` : host}${port}`
}

/** `host:port` in one way for all who write it: for comparing, and for keys. */
export function plainAddress(address: string): string {
  return `${hostOf(address)}${address.slice(address.lastIndexOf(':'))}`
}
