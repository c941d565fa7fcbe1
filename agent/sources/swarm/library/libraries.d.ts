// SPDX-License-Identifier: Apache-2.0
// Owns the types of the two libraries that ship none, as far as this room uses them. webtorrent's
// internals are typed where they are touched, in client.ts.

declare module 'bencode' {
  const bencode: {
    encode(value: unknown): Uint8Array
    decode(bytes: Uint8Array): unknown
  }

  export = bencode
}

declare module 'webtorrent' {
  const WebTorrent: new (options: Record<string, unknown>) => unknown

  export = WebTorrent
}
