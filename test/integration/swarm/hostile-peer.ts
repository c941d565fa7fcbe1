// SPDX-License-Identifier: Apache-2.0
// Owns a peer that means harm, written against BEP 3 alone: it claims to have everything, and what it
// does with requests is up to the test.
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Metainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import { startServer } from './lab.ts'

export interface HostilePeer extends AsyncDisposable {
  readonly port: number
  /** Blocks asked of it. */
  requests(): number
  connections(): number
}

export interface Conversation {
  readonly socket: Socket
  sendBlock(piece: number, offset: number, block: Uint8Array): void
}

export interface HostilePeerOptions {
  readonly metainfo: Metainfo
  /** Called once after the handshake, bitfield and unchoke. */
  readonly onReady?: (talk: Conversation) => void
  readonly onRequest?: (
    talk: Conversation,
    request: { piece: number; offset: number; length: number },
  ) => void
}

/** Listens, and makes itself known to the tracker. */
export async function startHostilePeer(
  trackerUrl: string,
  options: HostilePeerOptions,
): Promise<HostilePeer> {
  const peerId = Buffer.concat([Buffer.from('-XX0001-'), randomBytes(12)])
  let requests = 0
  let connections = 0
  const server = await startServer((socket) => {
    connections += 1
    const talk: Conversation = {
      socket,
      sendBlock: (piece, offset, block) => {
        socket.write(Buffer.concat([header(9 + block.length, 7, piece, offset), block]))
      },
    }
    speak(socket, options, peerId, talk, () => {
      requests += 1
    })
  })
  await announce(trackerUrl, options.metainfo, peerId, server.port)
  return {
    port: server.port,
    requests: () => requests,
    connections: () => connections,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

function speak(
  socket: Socket,
  { metainfo, onReady, onRequest }: HostilePeerOptions,
  peerId: Buffer,
  talk: Conversation,
  onCount: () => void,
): void {
  let buffered = Buffer.alloc(0)
  let isGreeted = false
  socket.on('data', (bytes: Buffer) => {
    buffered = Buffer.concat([buffered, bytes])
    if (!isGreeted && buffered.length >= 68) {
      isGreeted = true
      buffered = buffered.subarray(68)
      const bitfield = Buffer.alloc(Math.ceil(metainfo.pieceCount / 8))
      for (let piece = 0; piece < metainfo.pieceCount; piece++) {
        bitfield[piece >> 3] = (bitfield[piece >> 3] as number) | (0x80 >> (piece & 7))
      }
      socket.write(
        Buffer.concat([handshake(metainfo, peerId), header(1 + bitfield.length, 5), bitfield]),
      )
      socket.write(header(1, 1))
      onReady?.(talk)
    }
    while (isGreeted && buffered.length >= 4 && buffered.length >= 4 + buffered.readUInt32BE(0)) {
      const length = buffered.readUInt32BE(0)
      const message = buffered.subarray(4, 4 + length)
      buffered = buffered.subarray(4 + length)
      if (message[0] !== 6) continue
      onCount()
      onRequest?.(talk, {
        piece: message.readUInt32BE(1),
        offset: message.readUInt32BE(5),
        length: message.readUInt32BE(9),
      })
    }
  })
}

function handshake(metainfo: Metainfo, peerId: Buffer): Buffer {
  const reserved = Buffer.alloc(8)
  const name = Buffer.from('\u0013BitTorrent protocol', 'latin1')
  return Buffer.concat([name, reserved, Buffer.from(metainfo.infoHash, 'hex'), peerId])
}

function header(length: number, id: number, ...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(5 + 4 * numbers.length)
  bytes.writeUInt32BE(length, 0)
  bytes[4] = id
  for (const [i, value] of numbers.entries()) bytes.writeUInt32BE(value, 5 + 4 * i)
  return bytes
}

/** Makes a peer known to the tracker. */
export async function announce(
  url: string,
  metainfo: Metainfo,
  peerId: Buffer,
  port: number,
): Promise<void> {
  const percent = (bytes: Uint8Array) =>
    [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  const query =
    `info_hash=${percent(Buffer.from(metainfo.infoHash, 'hex'))}&peer_id=${percent(peerId)}` +
    `&port=${port}&uploaded=0&downloaded=0&left=0&compact=1&event=started`
  const response = await fetch(`${url}?${query}`)
  if (!response.ok) throw new Error(`tracker answers ${response.status}`)
  await response.arrayBuffer()
}
