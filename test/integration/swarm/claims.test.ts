// What nodes tell each other of their fetches from the origin, over real connections.
import { expect, test } from 'vitest'
import { CLAIM_KINDS } from '../../../agent/sources/swarm/engine/origin/claim.ts'
import type { PeerWire } from '../../../agent/sources/swarm/engine/peer-wire.ts'
import { openSwarmClient } from '../../../agent/sources/swarm/library/client.ts'
import { createPeerId } from '../../../agent/sources/swarm/peers/peer-list.ts'
import { keepUntilEnd } from '../../support/resources.ts'
import { imageBytes, startTracker, taskOf, torrentOf, until } from './lab.ts'

const keep = keepUntilEnd()
const { begun, landed } = CLAIM_KINDS

/** A client without an engine: what is said to it is written down. */
async function startClient(url: string, peerId: string) {
  const { metainfo } = await torrentOf(imageBytes(200_000), { trackers: [url] })
  const wires: PeerWire[] = []
  const heard: unknown[] = []
  const closed: string[] = []
  const sizes: number[] = []
  const ignore = () => undefined
  const client = await openSwarmClient({
    task: taskOf({ metainfo }),
    peerId,
    maxConns: 20,
    have: [],
    figures: () => ({ uploaded: 0, downloaded: 0, left: 1 }),
    isServable: () => false,
    readBlock: (_request, take) => take(null),
    onWire: (wire) => {
      wires.push(wire)
      wire.listen({
        onHave: (piece) => heard.push(piece),
        onBitfield: ignore,
        onChoke: ignore,
        onUnchoke: ignore,
        onInterested: ignore,
        onUnasked: ignore,
        onClaim: (kind, hops, pieces) => heard.push({ kind, hops, pieces }),
        onClose: () => closed.push(wire.peerId),
      })
      // before the peer has introduced itself
      wire.claim(begun, 4, [wires.length])
    },
    onSwarmSize: (nodes) => sizes.push(nodes),
    onUploaded: ignore,
    onTracker: ignore,
    onWarning: ignore,
    onRefused: () => undefined,
    onFailure: ignore,
  })
  return keep({
    wires,
    heard,
    closed,
    sizes,
    [Symbol.asyncDispose]: () => client.close(500),
  })
}

test('claims arrive as they were told, the first ones too, and the tracker counts the nodes', async () => {
  const tracker = keep(await startTracker())
  const one = await startClient(tracker.url, createPeerId())
  const two = await startClient(tracker.url, createPeerId())
  await until(() => one.heard.length > 0 && two.heard.length > 0, 'the first claims')
  expect(two.heard).toEqual([{ kind: begun, hops: 4, pieces: [1] }])
  const pieces = Array.from({ length: 64 }, (_, index) => 0xffffffff - index)
  one.wires[0]?.claim(landed, 1, pieces)
  one.wires[0]?.have(3)
  await until(() => two.heard.length === 3, 'a claim and a HAVE')
  expect(two.heard.slice(1)).toEqual([{ kind: landed, hops: 1, pieces }, 3])
  await until(() => two.sizes.includes(2), 'a count of two')
})

test('other programs are told nothing, and stay connected', async () => {
  const tracker = keep(await startTracker())
  const stranger = `${Buffer.from('-XX0001-').toString('hex')}${createPeerId().slice(16)}`
  const node = await startClient(tracker.url, createPeerId())
  const other = await startClient(tracker.url, stranger)
  await until(() => node.wires.length > 0 && other.wires.length > 0, 'a connection')
  node.wires[0]?.claim(begun, 4, [1])
  node.wires[0]?.have(3)
  await until(() => other.heard.length > 0, 'a HAVE')
  expect(other.heard).toEqual([3])
  expect(node.closed).toEqual([])
})
