// SPDX-License-Identifier: Apache-2.0
// Owns the text of local service discovery (BEP 14): one datagram that says who serves what. No sockets.

/** BEP 14: longer ones would be fragmented. */
const MAX_LSD_BYTES = 1400
const REQUEST_LINE = 'BT-SEARCH * HTTP/1.1'

export interface LsdMessage {
  /** TCP port of the sender; its address is that of the datagram. */
  readonly port: number
  /** Lower-case hex. */
  readonly infoHashes: readonly string[]
  /** Tells a sender its own messages. */
  readonly cookie: string | undefined
}

/** @param host the multicast group it goes to, with port and, for IPv6, brackets */
export function formatLsd(host: string, message: LsdMessage): string {
  const hashes = message.infoHashes.map((infoHash) => `Infohash: ${infoHash}`)
  const cookie = message.cookie === undefined ? [] : [`cookie: ${message.cookie}`]
  return [
    REQUEST_LINE,
    `Host: ${host}`,
    `Port: ${message.port}`,
    ...hashes,
    ...cookie,
    '',
    '',
    '',
  ].join('\r\n')
}

/** What a datagram from anybody says; undefined if it is none of these messages. */
export function parseLsd(datagram: Uint8Array): LsdMessage | undefined {
  if (datagram.length > MAX_LSD_BYTES) return undefined
  const [first, ...lines] = Buffer.from(datagram).toString('latin1').split('\r\n')
  if (first !== REQUEST_LINE) return undefined
  const fields = lines.map((line) => /^([A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line))
  const values = (name: string) =>
    fields.flatMap((field) => (field?.[1]?.toLowerCase() === name ? [field[2] ?? ''] : []))
  const [portText] = values('port')
  const port = /^\d{1,5}$/.test(portText ?? '') ? Number(portText) : 0
  const infoHashes = values('infohash')
    .filter((text) => /^[0-9a-f]{40}$/i.test(text))
    .map((text) => text.toLowerCase())
  if (port < 1 || port > 65535 || infoHashes.length === 0) return undefined
  return { port, infoHashes, cookie: values('cookie')[0] }
}
