// SPDX-License-Identifier: Apache-2.0
// Owns the translation between a wire of the library and the engine's PeerWire, and the limits on what
// a hostile peer may send. Does not decide whom to talk to.
import type { Socket } from 'node:net'
import type { BlockCallback, PeerWire, WireListener } from './engine/peer-wire.ts'
import type { TokenBucket } from './engine/token-bucket.ts'
import type { LibraryPeer, LibraryWire } from './library-types.ts'
import { isIronswarm } from './peer-book.ts'
import { type BlockRequest, createUploadGate } from './upload-gate.ts'

/** Longest message we accept: blocks are 16 KiB, a bitfield of 256 Ki pieces 32 KiB. */
const MAX_MESSAGE_BYTES = 256 * 1024
const DEFAULT_REQQ = 250

export interface WireDeps {
  readonly wire: LibraryWire
  readonly peer: LibraryPeer | undefined
  readonly address: string
  readonly uploadBudget: TokenBucket
  isServable(request: BlockRequest): boolean
  readBlock(request: BlockRequest): Promise<Uint8Array>
  onUploaded(bytes: number): void
  /** The engine or a limit closed the wire. */
  onClosed(reason: string, isBanned: boolean): void
}

/** The engine's view of a library wire whose handshake is done. */
export function adaptWire(deps: WireDeps): PeerWire {
  const { wire } = deps
  const socket = deps.peer?.conn ?? undefined
  const unsentBytes = meterUnsent(wire, deps.peer)
  const gate = createUploadGate({
    budget: deps.uploadBudget,
    bufferedBytes: unsentBytes,
    isServable: deps.isServable,
    read: deps.readBlock,
    send: (request, block) => {
      if (wire.destroyed || wire.amChoking) return
      wire.piece(request.piece, request.offset, block)
      deps.onUploaded(block.length)
    },
    reject: ({ piece, offset, length }) => {
      if (!wire.destroyed && wire.hasFast) wire.reject(piece, offset, length)
    },
    onAbuse: (reason) => close(reason, true),
  })

  function close(reason: string, isBanned: boolean): void {
    deps.onClosed(reason, isBanned)
    gate.clear()
    wire.destroy()
  }

  limitMessages(wire, (reason) => close(reason, true))
  const refuse = wire._onRequest.bind(wire)
  wire._onRequest = (piece, offset, length) => {
    if (wire.amChoking) refuse(piece, offset, length)
    else gate.push({ piece, offset, length })
  }
  wire._onCancel = (piece, offset, length) => gate.cancel({ piece, offset, length })
  socket?.on('drain', gate.pump)
  wire.once('close', gate.clear)
  const cork = corker(socket)

  return {
    peerId: wire.peerId,
    address: deps.address,
    isSharingOrigin: isIronswarm(wire.peerId),
    get maxRequests() {
      const { reqq } = wire.peerExtendedHandshake
      return typeof reqq === 'number' && reqq > 0 ? reqq : DEFAULT_REQQ
    },
    get isPeerChoking() {
      return wire.peerChoking
    },
    get isPeerInterested() {
      return wire.peerInterested
    },
    get isChoking() {
      return wire.amChoking
    },
    listen: (listener) => listenTo(wire, listener),
    request: (piece, offset, length, callback: BlockCallback) => {
      cork()
      wire.request(piece, offset, length, (error, block) => callback(error ? null : block))
    },
    cancel: (piece, offset, length) => {
      if (!wire.destroyed) wire.cancel(piece, offset, length)
    },
    have: (piece) => wire.have(piece),
    choke: () => {
      wire.choke()
      gate.clear()
    },
    unchoke: () => wire.unchoke(),
    setInterested: (isInterested) => {
      if (isInterested) wire.interested()
      else wire.uninterested()
    },
    close,
  }
}

/**
 * Bytes between the wire and the kernel: in the library's streams and in the socket. The socket alone
 * would not tell, because its own high-water mark holds the rest back upstream.
 */
function meterUnsent(wire: LibraryWire, peer: LibraryPeer | undefined): () => number {
  let pushedBytes = 0
  let passedBytes = 0
  const push = wire.push.bind(wire)
  wire.push = (bytes) => {
    pushedBytes += bytes?.length ?? 0
    return push(bytes)
  }
  peer?.on('upload', (bytes) => {
    passedBytes += bytes
  })
  const socket = peer?.conn
  return () => Math.max(0, pushedBytes - passedBytes) + (socket?.writableLength ?? 0)
}

/** A message of 4 GiB would be collected in memory before it is looked at. */
function limitMessages(wire: LibraryWire, onAbuse: (reason: string) => void): void {
  const refuse = (length: number) => onAbuse(`it announced a message of ${length} bytes`)
  const onMessageLength = wire._onMessageLength.bind(wire)
  wire._onMessageLength = (header) => {
    const length = new DataView(header.buffer, header.byteOffset, 4).getUint32(0)
    if (length > MAX_MESSAGE_BYTES) refuse(length)
    else onMessageLength(header)
  }
  // the first message of an incoming peer may have been announced already
  if (wire._parserSize > MAX_MESSAGE_BYTES) refuse(wire._parserSize)
}

function listenTo(wire: LibraryWire, listener: WireListener): void {
  const onBitfield = () => listener.onBitfield((piece) => wire.peerPieces.get(piece))
  wire.on('have', (piece: number) => listener.onHave(piece))
  wire.on('bitfield', onBitfield)
  wire.on('have-all', onBitfield)
  wire.on('have-none', () => listener.onBitfield(() => false))
  wire.on('choke', () => listener.onChoke())
  wire.on('unchoke', () => listener.onUnchoke())
  wire.on('interested', () => listener.onInterested())
  wire.on('uninterested', () => listener.onUninterested())
  wire.once('close', () => listener.onClose())
  onBitfield()
  if (wire.destroyed) listener.onClose()
  else if (wire.peerInterested) listener.onInterested()
}

/** Puts the small writes of one turn of the event loop into one packet. */
function corker(socket: Socket | undefined): () => void {
  let isCorked = false
  return () => {
    if (isCorked || socket === undefined) return
    isCorked = true
    socket.cork()
    setImmediate(() => {
      isCorked = false
      socket.uncork()
    })
  }
}
