// SPDX-License-Identifier: Apache-2.0
// Owns a peer that attacks a node: written against BEP 3, 6 and 10 alone. What it sends is up to the test.
import { randomBytes } from 'node:crypto'
import { createConnection, type Socket } from 'node:net'

const HANDSHAKE_BYTES = 68

export interface AttackingPeer extends Disposable {
  readonly socket: Socket
  /** The node, or this test, has closed the connection. */
  readonly isClosed: boolean
  /** Bytes read after the handshake. */
  readonly readBytes: number
  send(...messages: readonly Uint8Array[]): void
  /**
   * Sends these again and again, as fast as they are taken, until the node closes the connection.
   * @returns how many times they were sent
   */
  flood(messages: Uint8Array): Promise<number>
}

export interface AttackingPeerOptions {
  readonly port: number
  /** Lower-case hex. */
  readonly infoHash: string
  /** The first eight characters of its id (BEP 20). */
  readonly program?: string
  /** From the handshake on it reads nothing. */
  readonly isMute?: boolean
  /** What the node sends, its handshake among it: what comes in the handshake's segment is not lost. */
  readonly onData?: (bytes: Buffer) => void
}

/** Resolves when the node has answered its handshake. */
export async function connectAttacker(options: AttackingPeerOptions): Promise<AttackingPeer> {
  const socket = createConnection({ host: '127.0.0.1', port: options.port })
  let isClosed = false
  let readBytes = -HANDSHAKE_BYTES
  const greeted = Promise.withResolvers<void>()
  socket.on('error', () => undefined)
  socket.once('close', () => {
    isClosed = true
    greeted.reject(new Error('the node closed the connection instead of a handshake'))
  })
  socket.on('data', (bytes) => {
    readBytes += bytes.length
    options.onData?.(bytes)
    if (readBytes < 0) return
    greeted.resolve()
    if (options.isMute) socket.pause()
  })
  socket.write(handshakeOf(options))
  await greeted.promise
  return {
    socket,
    get isClosed() {
      return isClosed
    },
    get readBytes() {
      return readBytes
    },
    send: (...messages) => void socket.write(Buffer.concat(messages)),
    flood: async (messages) => {
      const closed = new Promise<void>((resolve) => socket.once('close', resolve))
      let count = 0
      while (!isClosed) {
        count += 1
        if (socket.write(messages)) await new Promise((resolve) => setImmediate(resolve))
        else {
          const drained = new Promise<void>((resolve) => socket.once('drain', resolve))
          await Promise.race([drained, closed])
        }
      }
      return count
    },
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

function handshakeOf({ infoHash, program = '-XX0001-' }: AttackingPeerOptions): Buffer {
  const reserved = Buffer.alloc(8)
  reserved[5] = 0x10 // BEP 10
  reserved[7] = 0x04 // BEP 6
  const id = Buffer.concat([Buffer.from(program), randomBytes(12)])
  const protocol = Buffer.from('\u0013BitTorrent protocol', 'latin1')
  return Buffer.concat([protocol, reserved, Buffer.from(infoHash, 'hex'), id])
}

/** A message of an id and numbers (BEP 3). */
export function messageOf(id: number, ...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(5 + 4 * numbers.length)
  bytes.writeUInt32BE(1 + 4 * numbers.length, 0)
  bytes[4] = id
  for (const [index, number] of numbers.entries()) bytes.writeUInt32BE(number, 5 + 4 * index)
  return bytes
}

/** A message of an id and bytes. */
export function messageWith(id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(5), payload])
  bytes.writeUInt32BE(1 + payload.length, 0)
  bytes[4] = id
  return bytes
}
