// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { isSameServer, mayCarryBody } from '../../../agent/http/target.ts'

test.each([
  ['http://h/a', 'http://h/b', true],
  ['http://h:80/a', 'http://h/b', true],
  ['http://h/a', 'https://h/b', true],
  ['http://h:80/a', 'https://h:443/b', true],
  ['http://H/a', 'https://h/b', true],
  ['https://h/a', 'http://h/b', false],
  ['http://h:8080/a', 'https://h:8443/b', false],
  ['http://h/a', 'https://h:8443/b', false],
  ['http://h/a', 'http://h:8080/b', false],
  ['http://h/a', 'https://other/b', false],
  ['http://h/a', 'https://h.other/b', false],
  ['http://[fd00::1]/a', 'https://[fd00::1]/b', true],
])('credentials for %s and the server of %s: %s', (given, asked, isSame) => {
  expect(isSameServer(new URL(given), new URL(asked))).toBe(isSame)
})

test.each([
  ['http://h:6385/a', 'https://h/b', true],
  ['http://h/a', 'http://h:8080/b', true],
  ['http://h/a', 'https://other/b', true],
  ['https://h/a', 'https://other/b', true],
  ['http://h/a', 'http://other/b', false],
  ['https://h/a', 'http://h/b', false],
])('a body that went to %s, sent again to %s: %s', (from, to, may) => {
  expect(mayCarryBody(new URL(from), new URL(to))).toBe(may)
})
