import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judgeNewcomer } from '../../../../../agent/sources/swarm/peers/connection-quota.ts'
import { ConnectionRoom } from '../../../../../agent/sources/swarm/peers/connection-room.ts'

/** Connections and their room; 10.0.0.0/24 and fd78::/64 are near. */
function roomFor(limit: number, openLimit = limit) {
  /** By address, whether the handshake is done. */
  const peers = new Map<string, boolean>()
  const room = new ConnectionRoom({
    limit,
    openLimit,
    table: {
      addresses: () => [...peers.keys()],
      isMet: (address) => peers.get(address) === true,
      close: (address) => void peers.delete(address),
    },
    isNeighbour: (host) => /^(10\.0\.0\.|fd78::)/.test(host),
  })
  return {
    room,
    peers,
    come: (address: string, isConnected = true) => {
      const isIn = room.admit(address)
      if (isIn) peers.set(address, isConnected)
      return isIn
    },
  }
}

const near = (index: number) => `10.0.0.${index}:6881`
const far = (index: number) => `192.0.2.${index}:6881`

describe('the connections of a node', () => {
  test('are for everybody as long as there are some left', () => {
    const { come, peers } = roomFor(8)
    for (let index = 0; index < 8; index++) expect(come(far(index))).toBe(true)
    expect(peers.size).toBe(8)
    expect(come(far(9))).toBe(false)
  })

  test('are opened up to a limit: the others are for those who come later', () => {
    const { room, come } = roomFor(8, 3)
    for (let index = 0; index < 3; index++) {
      expect(room.mayOpen()).toBe(true)
      come(near(index))
    }
    expect(room.mayOpen()).toBe(false)
    expect(come(near(4))).toBe(true)
    // a rack among others: neighbours are looked for
    come(far(1))
    expect(room.mayOpen()).toBe(true)
  })

  test('are taken from those afar for neighbours, up to a quarter, the newest first', () => {
    const { come, peers } = roomFor(8)
    for (let index = 0; index < 8; index++) come(far(index))
    for (let index = 0; index < 6; index++) expect(come(near(index))).toBe(true)
    expect(come(near(7))).toBe(false)
    expect([...peers.keys()].filter((each) => each.startsWith('192'))).toEqual([far(0), far(1)])
  })

  test('are given back to those afar, where neighbours have taken all', () => {
    const { come, peers } = roomFor(8)
    for (let index = 0; index < 8; index++) come(near(index))
    expect([come(far(1)), come(far(2)), come(far(3))]).toEqual([true, true, false])
    expect(peers.size).toBe(8)
  })

  test('go first where nothing has come of them yet', () => {
    const { come, peers } = roomFor(4)
    come(far(1))
    come(far(2), false)
    come(far(3))
    come(far(4))
    come(near(1))
    expect([...peers.keys()]).toEqual([far(1), far(3), far(4), near(1)])
  })

  test('know a rack by its name better than by its subnet, whoever called whom', () => {
    const { room, come } = roomFor(4)
    for (let index = 0; index < 4; index++) come(far(index))
    room.place('::ffff:10.0.0.1:50123', true)
    expect(come('10.0.0.1:6881')).toBe(false)
    expect(come('::ffff:10.0.0.1:50124')).toBe(false)
    room.place('[2001:db8::1]:6881', false)
    expect(come('2001:db8::1:6881')).toBe(true)
    expect(come('[fd78::9]:6881')).toBe(true)
  })

  test('are as many as there are peers up to the limit, and settle', () => {
    const arrival = fc.tuple(fc.constantFrom(near, far), fc.integer({ min: 0, max: 99 }))
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 300 }), fc.nat(20), (arrivals, limit) => {
        const { come, peers } = roomFor(limit)
        const all = arrivals.map(([place, index]) => place(index))
        const comeAgain = () => all.filter((address) => !peers.has(address) && come(address)).length
        comeAgain()
        expect(peers.size).toBe(Math.min(limit, new Set(all).size))
        // who comes again and again does not close others for ever
        expect(comeAgain()).toBeLessThanOrEqual(limit)
        expect(comeAgain()).toBe(0)
      }),
    )
  })
})

test('a peer that was closed for another is not let in again in its place', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(50), fc.nat(99), (nearCount, farCount, limit) => {
      const now = { near: nearCount, far: farCount }
      if (judgeNewcomer(now, true, limit) === 'replace far') {
        const then = { near: nearCount + 1, far: farCount - 1 }
        expect(judgeNewcomer(then, false, limit)).toBe('refuse')
      }
      if (judgeNewcomer(now, false, limit) === 'replace near' && nearCount > 0) {
        const then = { near: nearCount - 1, far: farCount + 1 }
        expect(judgeNewcomer(then, true, limit)).toBe('refuse')
      }
    }),
  )
})
