import { expect, test } from 'vitest'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import { BlockRequests } from '../../../../../agent/sources/swarm/wire/block-requests.ts'

/** Requests and the answers that they got. */
function ask(...blocks: readonly [piece: number, offset: number][]) {
  const requests = new BlockRequests()
  const answers: unknown[] = []
  const added = blocks.map(([piece, offset]) =>
    requests.add(piece, offset, (block) => answers.push([piece, offset, block])),
  )
  return { requests, answers, added }
}

const block = new Uint8Array(1)

test('a request is answered once, whoever else answers later', () => {
  const { requests, answers } = ask([3, 0], [3, BLOCK_BYTES])
  expect(requests.settle(3, BLOCK_BYTES, block)).toBe(true)
  expect(requests.settle(3, BLOCK_BYTES, block)).toBe(false)
  expect(answers).toEqual([[3, BLOCK_BYTES, block]])
})

test('a block is asked for once at a time', () => {
  const { requests, answers, added } = ask([3, 0], [3, 0])
  expect(added).toEqual([true, false])
  requests.settle(3, 0, null)
  expect(answers).toEqual([[3, 0, null]])
  expect(requests.add(3, 0, () => undefined)).toBe(true)
})

test('answers that nobody asked for are nobody’s, also within a block and beyond the piece', () => {
  const { requests, answers } = ask([3, 0], [4, 0])
  expect(requests.settle(3, 1, block)).toBe(false)
  expect(requests.settle(2, 1024 * BLOCK_BYTES, block)).toBe(false)
  expect(requests.settle(5, 0, block)).toBe(false)
  expect(answers).toEqual([])
})

test('all are refused at once, and what is asked meanwhile stays', () => {
  const requests = new BlockRequests()
  const answers: string[] = []
  requests.add(1, 0, () => {
    answers.push('refused')
    requests.add(1, 0, () => answers.push('answered'))
  })
  requests.refuseAll()
  expect(answers).toEqual(['refused'])
  expect(requests.settle(1, 0, block)).toBe(true)
  expect(answers).toEqual(['refused', 'answered'])
})
