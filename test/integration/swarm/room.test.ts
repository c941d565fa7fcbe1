// Who keeps its connection to a node that has room for four.
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import type { PeerWire, WireListener } from '../../../agent/sources/swarm/engine/peer-wire.ts'
import { openSwarmClient } from '../../../agent/sources/swarm/library/client.ts'
import { createPeerId } from '../../../agent/sources/swarm/peers/peer-list.ts'
import { keepUntilEnd } from '../../support/resources.ts'
import { imageBytes, startTracker, taskOf, torrentOf, until } from './lab.ts'

const keep = keepUntilEnd()

interface Met {
  readonly wire: PeerWire
  readonly isFar: () => boolean
}

const ignore = () => undefined
const DEAF: WireListener = {
  onHave: ignore,
  onBitfield: ignore,
  onChoke: ignore,
  onUnchoke: ignore,
  onInterested: ignore,
  onClaim: ignore,
  onUnasked: ignore,
  onClose: ignore,
}

async function startClient(url: string, rack: string | null, maxConns: number) {
  const { metainfo } = await torrentOf(imageBytes(200_000), { trackers: [url] })
  const met = new Set<Met>()
  const client = await openSwarmClient({
    task: taskOf({ metainfo, nearby: { lsd: 'off', rack } }),
    peerId: createPeerId(),
    maxConns,
    have: [],
    figures: () => ({ uploaded: 0, downloaded: 0, left: 1 }),
    isServable: () => false,
    readBlock: (_request, take) => take(null),
    onWire: (wire, isFar) => {
      const one = { wire, isFar }
      met.add(one)
      wire.listen({ ...DEAF, onClose: () => void met.delete(one) })
    },
    onUploaded: () => undefined,
    onSwarmSize: () => undefined,
    onTracker: () => undefined,
    onWarning: () => undefined,
    onRefused: () => undefined,
    onFailure: () => undefined,
  })
  const far = () => [...met].filter(({ isFar }) => isFar()).length
  return keep({
    client,
    count: () => met.size,
    far,
    [Symbol.asyncDispose]: () => client.close(500),
  })
}

test('neighbours get the connections of those afar, but one in four stays', async () => {
  const tracker = keep(await startTracker())
  const node = await startClient(tracker.url, 'here', 4)
  for (let index = 0; index < 4; index++) await startClient(tracker.url, 'there', 20)
  await until(() => node.far() === 4, 'four from afar')
  for (let index = 0; index < 3; index++) await startClient(tracker.url, 'here', 20)
  await until(() => node.count() === 4 && node.far() === 1, 'three neighbours')
})

test('nobody is let in beyond the limit, and whoever was refused gets on with the others', async () => {
  const tracker = keep(await startTracker())
  const node = await startClient(tracker.url, 'here', 2)
  const others = await Promise.all(
    Array.from({ length: 5 }, () => startClient(tracker.url, 'here', 20)),
  )
  await until(() => others.every((each) => each.count() >= 4), 'the others')
  await until(() => node.count() === 2, 'two connections')
  const connected = others.filter((each) => each.count() === 5)
  expect(connected.length).toBe(2)
})

test('a rack that gets its name later is told to peers that are connected already', async () => {
  const tracker = keep(await startTracker())
  const one = await startClient(tracker.url, null, 20)
  const other = await startClient(tracker.url, null, 20)
  await until(() => one.count() === 1 && other.count() === 1, 'the connection')
  one.client.nameRack('here')
  other.client.nameRack('there')
  await until(() => one.far() === 1 && other.far() === 1, 'the names')
  other.client.nameRack('here')
  await until(() => one.far() === 0 && other.far() === 0, 'the same name')
  expect([one.count(), other.count()]).toEqual([1, 1])
  const late = await startClient(tracker.url, 'there', 20)
  await until(() => late.far() === 2 && one.far() === 1, 'the newcomer')
})

test('of too many who connect and say nothing the first have to go, and others get in', async () => {
  const tracker = keep(await startTracker())
  const node = await startClient(tracker.url, 'here', 4)
  const startedAt = performance.now()
  let gone = 0
  const mute = Array.from({ length: 600 }, () =>
    connect(node.client.port, '127.0.0.1')
      .on('error', ignore)
      .on('close', () => {
        gone += 1
      })
      .resume(),
  )
  keep({
    [Symbol.asyncDispose]: async () => {
      for (const socket of mute) socket.destroy()
    },
  })
  await until(() => gone >= 600 - 511, 'room')
  // without a limit they have 25 s
  expect(performance.now() - startedAt).toBeLessThan(20_000)
  await startClient(tracker.url, 'here', 20)
  await until(() => node.count() === 1, 'one that says who it is')
})
