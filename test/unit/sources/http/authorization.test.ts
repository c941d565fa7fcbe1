// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { authorizationOf } from '../../../../agent/sources/http/authorization.ts'

const none = {
  image_server_auth_strategy: 'noauth',
  image_server_user: null,
  image_server_password: null,
} as const
const configured = {
  image_server_auth_strategy: 'http_basic',
  image_server_user: 'config',
  image_server_password: 'c',
} as const
const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`

test('nothing set means no credentials', () => {
  expect(authorizationOf({}, none)).toBeUndefined()
  expect(
    authorizationOf({ image_server_user: 'u', image_server_password: 'p' }, none),
  ).toBeUndefined()
})
test('image_info wins over the configuration, field by field', () => {
  expect(authorizationOf({}, configured)).toBe(basic('config:c'))
  expect(authorizationOf({ image_server_user: 'info' }, configured)).toBe(basic('info:c'))
  expect(authorizationOf({ image_server_auth_strategy: 'noauth' }, configured)).toBeUndefined()
})
test('basic auth without a password is an error that names the fields', () => {
  expect(() =>
    authorizationOf({ image_server_auth_strategy: 'http_basic', image_server_user: 'u' }, none),
  ).toThrow(/image_server_password is missing/)
})
test('a verbatim header must be base64 of one line', () => {
  const encode = (text: string) => ({
    image_request_authorization: Buffer.from(text).toString('base64'),
  })
  expect(authorizationOf(encode('Bearer abc'), configured)).toBe('Bearer abc')
  expect(() => authorizationOf(encode('Bearer abc\r\nHost: evil'), none)).toThrow(
    /one Authorization/,
  )
  expect(() => authorizationOf({ image_request_authorization: '%%%' }, none)).toThrow(/base64/)
})
