import { expect, test } from 'vitest'
import { createTokenBucket } from '../../../../../agent/sources/swarm/engine/token-bucket.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import {
  type BlockRequest,
  createUploadGate,
  type UploadGateDeps,
} from '../../../../../agent/sources/swarm/wire/upload-queue.ts'

const BLOCK = BLOCK_BYTES
const block = (piece: number): BlockRequest => ({ piece, offset: 0, length: BLOCK })
const turn = () => new Promise((resolve) => setTimeout(resolve, 30))

function gateOf(overrides: Partial<UploadGateDeps> = {}) {
  const sent: number[] = []
  const rejected: number[] = []
  const abuse: string[] = []
  const gate = createUploadGate({
    budget: createTokenBucket(0, () => 0),
    bufferedBytes: () => 0,
    isServable: () => true,
    send: ({ piece }, onDone) => {
      sent.push(piece)
      onDone()
    },
    reject: ({ piece }) => rejected.push(piece),
    onAbuse: (reason) => abuse.push(reason),
    ...overrides,
  })
  return { gate, sent, rejected, abuse }
}

test('blocks go out in the order they were asked for', async () => {
  const { gate, sent } = gateOf()
  for (let piece = 0; piece < 50; piece++) gate.push(block(piece))
  while (sent.length < 50) await turn()
  expect(sent).toEqual(Array.from({ length: 50 }, (_, piece) => piece))
})

test('nothing goes out while the socket holds enough; it goes on when it has drained', async () => {
  let buffered = 1_000_000
  const { gate, sent } = gateOf({ bufferedBytes: () => buffered })
  gate.push(block(1))
  await turn()
  expect(sent).toEqual([])
  buffered = 0
  gate.pump()
  await turn()
  expect(sent).toEqual([1])
})

test('a cancelled request is rejected and not sent; the rest when we choke', async () => {
  const { gate, sent, rejected } = gateOf({ bufferedBytes: () => 1_000_000 })
  for (const piece of [1, 2, 3]) gate.push(block(piece))
  gate.cancel(block(2))
  expect(rejected).toEqual([2])
  gate.clear()
  expect(rejected).toEqual([2, 1, 3])
  await turn()
  expect(sent).toEqual([])
})

test('what is not to be had is rejected', () => {
  const { gate, sent, rejected } = gateOf({ isServable: ({ piece }) => piece !== 1 })
  gate.push(block(1))
  gate.push(block(2))
  expect(rejected).toEqual([1])
  expect(sent).toEqual([2])
})

test('blocks being read from the disk count as waiting in the socket', () => {
  const reads: (() => void)[] = []
  const { gate } = gateOf({ send: (_request, onDone) => reads.push(onDone) })
  for (let piece = 0; piece < 100; piece++) gate.push(block(piece))
  const atOnce = reads.length
  expect(atOnce).toBeGreaterThan(1)
  expect(atOnce).toBeLessThan(20)
  reads[0]?.()
  expect(reads.length).toBe(atOnce + 1)
})

test('requests for a few bytes each do not make us read many pieces at a time', () => {
  let reads = 0
  const { gate } = gateOf({
    send: () => {
      reads += 1
    },
  })
  for (let piece = 0; piece < 1000; piece++) gate.push({ piece, offset: 0, length: 1 })
  expect(reads).toBeGreaterThan(0)
  expect(reads).toBeLessThan(20)
  gate.clear()
})

test('blocks of absurd size and floods of requests are abuse', () => {
  const { gate, abuse } = gateOf({ bufferedBytes: () => 1_000_000 })
  gate.push({ piece: 0, offset: 0, length: 1_000_000 })
  gate.push({ piece: 0, offset: 0, length: 0 })
  expect(abuse.length).toBe(2)
  for (let i = 0; i < 3000; i++) gate.push(block(i))
  expect(abuse.length).toBeGreaterThan(2)
  gate.clear()
})
