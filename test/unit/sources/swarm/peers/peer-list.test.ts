import { expect, test } from 'vitest'
import {
  createPeerId,
  isIronswarm,
  PeerBook,
} from '../../../../../agent/sources/swarm/peers/peer-list.ts'

const [low, high] = [createPeerId(), createPeerId()].sort() as [string, string]
const foreign = Buffer.from('-LT2080-abcdefghijkl').toString('hex')
const bookOf = (selfId: string, now = () => 0) =>
  new PeerBook({ selfId, ownAddresses: () => new Set(['10.0.0.1:6881']), now })
const outgoing = (peerId: string) => ({ peerId, type: 'tcpOutgoing' })
const incoming = (peerId: string) => ({ peerId, type: 'tcpIncoming' })

test('our own address, and one that turned out to be ourselves, is not connected to', () => {
  const book = bookOf(low)
  expect(book.mayConnect('10.0.0.1:6881', 0)).toBe(false)
  expect(book.mayConnect('192.168.0.1:6881', 0)).toBe(true)
  book.learn('192.168.0.1:6881', low)
  expect(book.mayConnect('192.168.0.1:6881', 0)).toBe(false)
  const self = outgoing(low)
  expect(book.judge(self, [])).toBe(self)
})

test('a connected peer is not connected to again, until it is gone', () => {
  const book = bookOf(low)
  book.learn('::ffff:10.0.0.2:5000', high)
  book.connect(high)
  expect(book.mayConnect('10.0.0.2:5000', 0)).toBe(false)
  book.disconnect(high)
  expect(book.mayConnect('10.0.0.2:5000', 0)).toBe(true)
})

test('of two connections both ends close the same one', () => {
  // the one that the lower id opened stays
  const [mine, theirs] = [outgoing(high), incoming(high)]
  expect(bookOf(low).judge(theirs, [mine])).toBe(theirs)
  expect(bookOf(low).judge(mine, [theirs])).toBe(theirs)
  const [back, forth] = [outgoing(low), incoming(low)]
  expect(bookOf(high).judge(back, [forth])).toBe(back)
  expect(bookOf(high).judge(forth, [back])).toBe(back)
})

test('other programs decide by themselves, but two the same way are one too many', () => {
  const book = bookOf(low)
  expect(book.judge(incoming(foreign), [outgoing(foreign)])).toBeUndefined()
  const second = outgoing(foreign)
  expect(book.judge(second, [outgoing(foreign)])).toBe(second)
})

test('a banned peer is neither connected to nor let in', () => {
  const book = bookOf(low)
  book.learn('10.0.0.3:1', foreign)
  book.ban(foreign)
  expect(book.mayConnect('10.0.0.3:1', 0)).toBe(false)
  const wire = incoming(foreign)
  expect(book.judge(wire, [])).toBe(wire)
})

test('an address that leads to nobody is tried ever less often, until somebody answers there', () => {
  let now = 0
  const book = bookOf(low, () => now)
  const address = '10.0.0.4:6881'
  const tries: number[] = []
  // a tracker names it every two seconds
  const hearOfIt = () => {
    for (const end = now + 120_000; now < end; now += 2000) {
      if (!book.mayConnect(address, 0)) continue
      tries.push(now)
      book.noteTry(address)
    }
  }
  hearOfIt()
  expect(tries[0]).toBe(0)
  expect(tries.length).toBeGreaterThan(4)
  expect(tries.length).toBeLessThan(10)
  now += 60_000
  expect(book.mayConnect(address, 0)).toBe(true)
  book.noteTry(address)
  expect(book.mayConnect(address, 0)).toBe(false)
  book.learn(address, high)
  expect(book.mayConnect(address, 0)).toBe(true)
})

test('the number of addresses under way is bounded', () => {
  expect(bookOf(low).mayConnect('10.0.0.9:1', 10_000)).toBe(false)
})

test('peer ids tell our nodes from others', () => {
  expect(low).toMatch(/^[0-9a-f]{40}$/)
  expect(isIronswarm(low)).toBe(true)
  expect(isIronswarm(foreign)).toBe(false)
})
