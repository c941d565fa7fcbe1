// SPDX-License-Identifier: Apache-2.0
// Owns the types of the library internals we touch: the whole seam to webtorrent 3.0.21 and
// bittorrent-protocol 5.0.9. test/contract/bittorrent checks that the pinned version has them.
import type { Server, Socket } from 'node:net'

export interface LibraryBitField {
  readonly buffer: Uint8Array
  get(index: number): boolean
}

/** A `Wire` of bittorrent-protocol. */
export interface LibraryWire {
  readonly peerId: string
  /** `tcpOutgoing` or `tcpIncoming`. */
  readonly type: string
  readonly remoteAddress?: string
  readonly remotePort?: number
  readonly destroyed: boolean
  readonly hasFast: boolean
  /** What the peer has said while the library listened. */
  peerPieces: LibraryBitField
  readonly peerChoking: boolean
  readonly peerInterested: boolean
  readonly amChoking: boolean
  readonly peerExtendedHandshake: {
    readonly p?: unknown
    readonly reqq?: unknown
    readonly [ours: string]: unknown
  }
  readonly extendedHandshake: Record<string, unknown>
  /** By name, what the peer calls the extensions it knows; empty until its extended handshake. */
  readonly peerExtendedMapping: Readonly<Record<string, number>>
  readonly _parserSize: number
  readonly _parser: unknown
  readonly _onMessage: unknown
  /** Bytes that were not parsed yet: one array at most. */
  _buffer: Uint8Array[]
  _bufferSize: number
  on(event: 'extended' | 'close', listener: (...args: never[]) => void): void
  once(event: 'extended' | 'close', listener: (...args: never[]) => void): void
  /** Takes each message towards the socket (streamx). */
  push(bytes: Uint8Array | null): boolean
  have(piece: number): void
  /** Sends a message of an extension that the peer has named (BEP 10). */
  extended(extension: string, payload: Uint8Array): void
  /** Offers an extension, before the extended handshake; named by its prototype. */
  use(extension: LibraryExtension): void
  /** BEP 10: may come again when something has changed. */
  _sendExtendedHandshake(): void
  readonly _extendedHandshakeSent: boolean
  destroy(): void
  /** Is given the peer's bytes (streamx). */
  _write(bytes: Uint8Array, done: (error: null) => void): void
  /** BEP 10: id as we named it, 0 the handshake. */
  _onExtended(id: number, payload: Uint8Array): void
  _onMessageLength(header: Uint8Array): void
}

/** A class: one instance per wire. */
export interface LibraryExtension {
  new (): { onMessage(payload: Uint8Array): void }
  readonly prototype: { readonly name: string }
}

/** What is beneath a socket: Node's own TCP object, as its `cluster` and `child_process` pass it on. */
export interface SocketHandle {
  reading: boolean
  readStop(): void
}

/** A `net.Socket`, with what changes hands. */
export type LibrarySocket = Socket & {
  _handle: SocketHandle | null
  readonly _readableState: { readonly ended: boolean }
}

/** A `Peer` of webtorrent: a wire with its connection. */
export interface LibraryPeer {
  /** `host:port`: where we connected to, or where it came from. */
  readonly id: string
  readonly wire: LibraryWire | null
  readonly conn: LibrarySocket | null
  destroy(error: Error): void
  /** The other side has said the info-hash too. */
  readonly _handshakeDone?: boolean
  /** It was connected. */
  once(event: 'connect' | 'disconnect', listener: () => void): void
  /** Bytes on their way from the wire to the socket. */
  on(event: 'upload', listener: (bytes: number) => void): void
}

/** A torrent as parse-torrent describes one, which `add` takes as well as a file. */
export interface TorrentOutline {
  readonly infoHash: string
  readonly name: string
  readonly private: boolean
  readonly announce: readonly string[]
  readonly urlList: readonly string[]
  readonly info: unknown
  readonly files: readonly object[]
  readonly length: number
  readonly pieceLength: number
  readonly lastPieceLength: number
  /** Hashes as hex. */
  readonly pieces: readonly string[]
}

export interface LibraryTorrent {
  readonly infoHash: string
  readonly ready: boolean
  readonly destroyed: boolean
  readonly wires: readonly LibraryWire[]
  /** Read when a wire is there, and at the end of the download. */
  bitfield: LibraryBitField
  /** Asked before HAVE ALL, HAVE NONE or the bitfield is sent. */
  _hasAllPieces: () => boolean
  _hasNoPieces: () => boolean
  readonly _peers: ReadonlyMap<string, LibraryPeer> | null
  on(event: 'ready', listener: () => void): void
  on(event: 'wire', listener: (wire: LibraryWire) => void): void
  on(event: 'warning' | 'error', listener: (error: Error | string) => void): void
  addPeer(address: string, source: string): boolean
  /** Closes it if it is connected. */
  removePeer(address: string): void
  _checkDone(): boolean
  _update: () => void
  _updateWire: (wire: LibraryWire) => void
  _updateWireInterest: (wire: LibraryWire) => void
  _updateInterest: () => void
  _rechoke: () => void
  _addPeer: (address: unknown, type: string, source: unknown) => LibraryPeer | null
  _addIncomingPeer: (peer: LibraryPeer) => void
}

/** Where peers come in: a `ConnPool` of webtorrent. */
export interface LibraryListener {
  readonly tcpServer: Server
  /** Those that have not said which torrent they want, the first to come first; null at the end. */
  readonly _pendingConns: ReadonlySet<Socket> | null
}

/** A `WebTorrent`. */
export interface LibraryClient {
  readonly _connPool: LibraryListener
  readonly peerId: string
  readonly torrentPort: number
  add(torrent: TorrentOutline | Uint8Array, options: Record<string, unknown>): LibraryTorrent
  on(event: 'error', listener: (error: Error | string) => void): void
  destroy(callback: () => void): void
}

/** abstract-chunk-store, as far as the library calls it here. */
export interface LibraryStore {
  get(
    piece: number,
    options: { offset?: number; length?: number } | null,
    callback: (error: Error) => void,
  ): void
  put(piece: number, bytes: Uint8Array, callback: (error: Error) => void): void
  close(callback: (error: null) => void): void
  destroy(callback: (error: null) => void): void
}
