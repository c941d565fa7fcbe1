// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { isProxyExempt } from '../../../agent/http/no-proxy.ts'

test.each([
  ['http://images.example.org/', 'example.org', true],
  ['http://images.example.org/', '.example.org', true],
  ['http://images.example.org/', '*.example.org', true],
  ['http://example.org/', '.example.org', true],
  ['http://notexample.org/', 'example.org', false],
  ['http://IMAGES.example.org/', 'a.b, Images.Example.ORG', true],
  ['http://images.example.org/', '', false],
  ['http://images.example.org/', undefined, false],
  ['http://images.example.org/', '*', true],
  ['http://images.example.org:8080/', 'images.example.org:8080', true],
  ['http://images.example.org/', 'images.example.org:8080', false],
  ['https://images.example.org/', 'images.example.org:443', true],
  ['http://192.0.2.7/', '192.0.2.7', true],
  ['http://192.0.2.7/', '192.0.2.0/24', true],
  ['http://192.0.3.7/', '192.0.2.0/24 198.51.100.1', false],
  ['http://192.0.2.70/', '2.70', false],
  ['http://192.0.2.7/', '192.0.2.0/33', false],
  ['http://192.0.2.7/', '192.0.2.0/', false],
  ['http://[2001:db8::7]/', '2001:db8::/32', true],
  ['http://[2001:db8::7]/', '2001:db8:0::7', true],
  ['http://[2001:db8::7]:81/', '[2001:db8::7]:81', true],
  ['http://[2001:db9::7]/', '2001:db8::/32', false],
] as const)('%s with no_proxy %s: %s', (url, noProxy, isExempt) => {
  expect(isProxyExempt(new URL(url), noProxy)).toBe(isExempt)
})
