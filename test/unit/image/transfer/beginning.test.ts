// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { watchBeginning } from '../../../../agent/image/transfer/beginning.ts'

function watched(imageBytes: number) {
  const judged: number[][] = []
  const beginning = watchBeginning(imageBytes, (bytes) => void judged.push([...bytes]))
  return { beginning, judged }
}

test('the beginning of an image is judged once, when the last of its bytes is there', () => {
  const { beginning, judged } = watched(6)
  beginning.see(4, 2, Uint8Array.of(5, 6))
  // what lies before the image is none of it
  beginning.see(-1, 3, Uint8Array.of(9, 1, 2))
  expect(judged).toEqual([])
  beginning.see(2, 2)
  beginning.see(0, 2, Uint8Array.of(7, 7))
  beginning.end()
  expect(judged).toEqual([[1, 2, 0, 0, 5, 6]])
})

test('what of the beginning never comes is zero', () => {
  const { beginning, judged } = watched(4)
  beginning.see(1, 1, Uint8Array.of(3))
  beginning.end()
  expect(judged).toEqual([[0, 3, 0, 0]])
})

test('bytes behind the beginning of a large image are not waited for', () => {
  const { beginning, judged } = watched(2 ** 40)
  beginning.see(0, 2 ** 40)
  expect(judged.length).toBe(1)
})
