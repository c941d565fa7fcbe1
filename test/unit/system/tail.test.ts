// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { createTail } from '../../../agent/system/exec.ts'

test.each([1, 3, 7, 100])(
  'the end of a text is kept, however it comes: %d bytes at a time',
  (size) => {
    const text = Array.from({ length: 60 }, (_, i) => `line ${i}\n`).join('')
    const tail = createTail(16)
    for (let at = 0; at < text.length; at += size) tail.add(Buffer.from(text.slice(at, at + size)))
    expect(tail.text()).toBe(text.slice(-16))
  },
)

test('a text that is shorter than the tail is kept whole', () => {
  const tail = createTail(16)
  tail.add(Buffer.from('short'))
  expect(tail.text()).toBe('short')
})
