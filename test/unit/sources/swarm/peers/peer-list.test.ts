import { expect, test } from 'vitest'
import {
  createPeerId,
  isIronswarm,
  PeerList,
} from '../../../../../agent/sources/swarm/peers/peer-list.ts'

const [low, high] = [createPeerId(), createPeerId()].sort() as [string, string]
const foreign = Buffer.from('-LT2080-abcdefghijkl').toString('hex')
const peersOf = (selfId: string, now = () => 0) =>
  new PeerList({ selfId, ownAddresses: () => new Set(['10.0.0.1:6881']), now })
const outgoing = (peerId: string) => ({ peerId, isOutgoing: true })
const incoming = (peerId: string) => ({ peerId, isOutgoing: false })

test('our own address, and one that turned out to be ourselves, is not connected to', () => {
  const peers = peersOf(low)
  expect(peers.mayConnect('10.0.0.1:6881', 0)).toBe(false)
  expect(peers.mayConnect('192.168.0.1:6881', 0)).toBe(true)
  peers.learn('192.168.0.1:6881', low)
  expect(peers.mayConnect('192.168.0.1:6881', 0)).toBe(false)
  const self = outgoing(low)
  expect(peers.judge(self, [])).toBe(self)
})

test('a connected peer is not connected to again, until it is gone', () => {
  const peers = peersOf(low)
  peers.learn('::ffff:10.0.0.2:5000', high)
  peers.connect(high)
  expect(peers.mayConnect('10.0.0.2:5000', 0)).toBe(false)
  peers.disconnect(high)
  expect(peers.mayConnect('10.0.0.2:5000', 0)).toBe(true)
})

test('of two connections both ends close the same one', () => {
  // the one that the lower id opened stays
  const [mine, theirs] = [outgoing(high), incoming(high)]
  expect(peersOf(low).judge(theirs, [mine])).toBe(theirs)
  expect(peersOf(low).judge(mine, [theirs])).toBe(theirs)
  const [back, forth] = [outgoing(low), incoming(low)]
  expect(peersOf(high).judge(back, [forth])).toBe(back)
  expect(peersOf(high).judge(forth, [back])).toBe(back)
})

test('other programs decide by themselves, but two the same way are one too many', () => {
  const peers = peersOf(low)
  expect(peers.judge(incoming(foreign), [outgoing(foreign)])).toBeUndefined()
  const second = outgoing(foreign)
  expect(peers.judge(second, [outgoing(foreign)])).toBe(second)
})

test('a banned peer is neither connected to nor let in', () => {
  const peers = peersOf(low)
  peers.learn('10.0.0.3:1', foreign)
  peers.ban(foreign)
  expect(peers.mayConnect('10.0.0.3:1', 0)).toBe(false)
  const wire = incoming(foreign)
  expect(peers.judge(wire, [])).toBe(wire)
})

test('an address that leads to nobody is tried ever less often, until somebody answers there', () => {
  let now = 0
  const peers = peersOf(low, () => now)
  const address = '10.0.0.4:6881'
  const tries: number[] = []
  // a tracker names it every two seconds
  const hearOfIt = () => {
    for (const end = now + 120_000; now < end; now += 2000) {
      if (!peers.mayConnect(address, 0)) continue
      tries.push(now)
      peers.noteTry(address)
    }
  }
  hearOfIt()
  expect(tries[0]).toBe(0)
  expect(tries.length).toBeGreaterThan(4)
  expect(tries.length).toBeLessThan(10)
  now += 60_000
  expect(peers.mayConnect(address, 0)).toBe(true)
  peers.noteTry(address)
  expect(peers.mayConnect(address, 0)).toBe(false)
  peers.learn(address, high)
  expect(peers.mayConnect(address, 0)).toBe(true)
})

test('the number of addresses under way is bounded', () => {
  expect(peersOf(low).mayConnect('10.0.0.9:1', 10_000)).toBe(false)
})

test('peer ids tell our nodes from others', () => {
  expect(low).toMatch(/^[0-9a-f]{40}$/)
  expect(isIronswarm(low)).toBe(true)
  expect(isIronswarm(foreign)).toBe(false)
})
