import { expect, test } from 'vitest'
import {
  Allowance,
  KEEP_ALIVE,
  MessageRates,
} from '../../../../../agent/sources/swarm/wire/message-rates.ts'
import { MESSAGE_IDS } from '../../../../../agent/sources/swarm/wire/messages.ts'

const PIECES = 1000
const FLOOD = 100_000

/** How many pass of a flood of one kind. */
function admitted(rates: MessageRates, ids: readonly number[], count = FLOOD): number {
  let passed = 0
  for (let at = 0; at < count; at++) passed += Number(rates.admits(ids[at % ids.length] as number))
  return passed
}

const { choke, unchoke, interested, notInterested, have, bitfield, extended } = MESSAGE_IDS
test.each([
  ['choke and unchoke in turns', [choke, unchoke], 200],
  ['interested and not interested in turns', [interested, notInterested], 10_000],
  ['have', [have], 10_000 + 2 * PIECES],
  ['bitfield', [bitfield], 200],
  ['extension messages', [extended], 20_000],
  ['cancel', [MESSAGE_IDS.cancel], 10_000],
  ['reject', [MESSAGE_IDS.reject], 10_000],
  ['keep-alives', [KEEP_ALIVE], 10_000],
  ['messages that nobody knows', [99, 13, 17], 10_000],
])('of a flood of %s a bounded number is looked at', (_name, ids, most) => {
  expect(admitted(new MessageRates(PIECES, () => 0), ids)).toBe(most)
})

test('a flood of one kind takes nothing from another', () => {
  const rates = new MessageRates(PIECES, () => 0)
  admitted(rates, [choke])
  expect(admitted(rates, [have], PIECES)).toBe(PIECES)
})

test('blocks and requests are not counted, but those in vain are', () => {
  const rates = new MessageRates(PIECES, () => 0)
  expect(admitted(rates, [MESSAGE_IDS.piece, MESSAGE_IDS.request])).toBe(FLOOD)
  let passed = 0
  while (rates.admitsInVain()) passed += 1
  expect(passed).toBe(8192)
})

test('what a peer has used up comes back with time', () => {
  let now = 0
  const rates = new MessageRates(PIECES, () => now)
  admitted(rates, [bitfield])
  now += 1000
  expect(admitted(rates, [bitfield])).toBe(100)
  // a clock that goes back gives nothing, and takes nothing
  now -= 5000
  expect(admitted(rates, [bitfield])).toBe(0)
  now += 6000
  expect(admitted(rates, [bitfield])).toBeGreaterThan(0)
})

test('who asks more often than something is earned gets it all the same', () => {
  let now = 0
  const allowance = new Allowance({ perSecond: 4, burst: 1 }, () => now)
  expect(allowance.take()).toBe(true)
  let taken = 0
  for (; now <= 2000; now += 20) if (allowance.take()) taken += 1
  expect(taken).toBeGreaterThanOrEqual(7)
})
