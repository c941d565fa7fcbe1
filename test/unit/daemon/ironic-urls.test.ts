import { describe, expect, test } from 'vitest'
import { findIronicUrls } from '../../../agent/daemon/ironic-urls.ts'

const NOTHING = { api_url: [], inspection_callback_url: [] }
const HTTP = ['http://a:6385', 'http://b:6385']

describe('findIronicUrls', () => {
  test.each([
    ['URLs of the API', { api_url: HTTP }, HTTP, []],
    ['nothing', {}, [], [/no URL of Ironic is known.*ipa-api-url=/]],
    [
      'inspection alone, for which Ironic names no other URL',
      { inspection_callback_url: ['http://a:5050/v1/continue'] },
      [],
      [],
    ],
  ])('with %s it names what is left out', (_what, options, urls, words) => {
    const found = findIronicUrls({ ...NOTHING, ...options })
    expect(found.urls).toEqual(urls)
    expect(found.notices).toHaveLength(words.length)
    for (const [i, word] of words.entries()) expect(found.notices[i]).toMatch(word)
  })
})
