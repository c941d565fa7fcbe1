import { expect, test } from 'vitest'
import { createTokenBucket } from '../../../../../agent/sources/swarm/engine/token-bucket.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import {
  type BlockRequest,
  createUploadQueue,
  type UploadQueueDeps,
} from '../../../../../agent/sources/swarm/wire/upload-queue.ts'

const BLOCK = BLOCK_BYTES
const block = (piece: number): BlockRequest => ({ piece, offset: 0, length: BLOCK })
const turn = () => new Promise((resolve) => setTimeout(resolve, 30))

function queueOf(overrides: Partial<UploadQueueDeps> = {}) {
  const sent: number[] = []
  const rejected: number[] = []
  const abuse: string[] = []
  const queue = createUploadQueue({
    budget: createTokenBucket(0, () => 0),
    bufferedBytes: () => 0,
    now: () => performance.now(),
    isServable: () => true,
    send: ({ piece }, onDone) => {
      sent.push(piece)
      onDone()
    },
    reject: ({ piece }) => rejected.push(piece),
    onAbuse: (reason) => abuse.push(reason),
    ...overrides,
  })
  return { queue, sent, rejected, abuse }
}

test('blocks go out in the order they were asked for', async () => {
  const { queue, sent } = queueOf()
  for (let piece = 0; piece < 50; piece++) queue.push(block(piece))
  while (sent.length < 50) await turn()
  expect(sent).toEqual(Array.from({ length: 50 }, (_, piece) => piece))
})

test('nothing goes out while the socket holds enough; it goes on when it has drained', async () => {
  let buffered = 1_000_000
  const { queue, sent } = queueOf({ bufferedBytes: () => buffered })
  queue.push(block(1))
  await turn()
  expect(sent).toEqual([])
  buffered = 0
  queue.pump()
  await turn()
  expect(sent).toEqual([1])
})

test('a cancelled request is rejected and not sent; the rest when we choke', async () => {
  const { queue, sent, rejected } = queueOf({ bufferedBytes: () => 1_000_000 })
  for (const piece of [1, 2, 3]) queue.push(block(piece))
  queue.cancel(block(2))
  expect(rejected).toEqual([2])
  queue.clear()
  expect(rejected).toEqual([2, 1, 3])
  await turn()
  expect(sent).toEqual([])
})

test('what is not to be had is rejected', () => {
  const { queue, sent, rejected } = queueOf({ isServable: ({ piece }) => piece !== 1 })
  queue.push(block(1))
  queue.push(block(2))
  expect(rejected).toEqual([1])
  expect(sent).toEqual([2])
})

test('blocks being read from the disk count as waiting in the socket', () => {
  const reads: (() => void)[] = []
  const { queue } = queueOf({ send: (_request, onDone) => reads.push(onDone) })
  for (let piece = 0; piece < 100; piece++) queue.push(block(piece))
  const atOnce = reads.length
  expect(atOnce).toBeGreaterThan(1)
  expect(atOnce).toBeLessThan(20)
  reads[0]?.()
  expect(reads.length).toBe(atOnce + 1)
})

test('requests for a few bytes each do not make us read many pieces at a time', () => {
  let reads = 0
  const { queue } = queueOf({
    send: () => {
      reads += 1
    },
  })
  for (let piece = 0; piece < 1000; piece++) queue.push({ piece, offset: 0, length: 1 })
  expect(reads).toBeGreaterThan(0)
  expect(reads).toBeLessThan(20)
  queue.clear()
})

test('blocks of absurd size and floods of requests are abuse', () => {
  const { queue, abuse } = queueOf({ bufferedBytes: () => 1_000_000 })
  queue.push({ piece: 0, offset: 0, length: 1_000_000 })
  queue.push({ piece: 0, offset: 0, length: 0 })
  expect(abuse.length).toBe(2)
  for (let i = 0; i < 3000; i++) queue.push(block(i))
  expect(abuse.length).toBeGreaterThan(2)
  queue.clear()
})

test('requests for less than a block are paced, whatever they ask for, and others come through', async () => {
  let now = 0
  const { queue, sent } = queueOf({ now: () => now })
  for (let piece = 0; piece < 1000; piece++) queue.push({ piece, offset: 0, length: 1 })
  const atOnce = sent.length
  expect(atOnce).toBeGreaterThan(0)
  expect(atOnce).toBeLessThan(64)
  now += 1000
  queue.pump()
  expect(sent.length - atOnce).toBeLessThan(8)
  queue.clear()
  queue.push(block(5000))
  expect(sent.at(-1)).toBe(5000)
})

test('the longest requests wait until nothing else does', () => {
  let buffered = 1
  const { queue, sent } = queueOf({ bufferedBytes: () => buffered })
  queue.push({ piece: 1, offset: 0, length: 128 * 1024 })
  expect(sent).toEqual([])
  buffered = 0
  queue.pump()
  expect(sent).toEqual([1])
})
