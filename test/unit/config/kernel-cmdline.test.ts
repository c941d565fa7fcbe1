import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseKernelCmdline } from '../../../agent/config/kernel-cmdline.ts'

describe('parseKernelCmdline', () => {
  test('takes key=value words, ignores the others and splits at the first =', () => {
    const line = 'quiet ro root=UUID=1-2 ipa-api-url=http://10.0.0.1:6385?x=y =nothing\n'
    expect(Object.fromEntries(parseKernelCmdline(line))).toEqual({
      root: 'UUID=1-2',
      'ipa-api-url': 'http://10.0.0.1:6385?x=y',
    })
  })

  test('lets a later duplicate win', () => {
    expect(parseKernelCmdline('ipa-debug=1 ipa-debug=0').get('ipa-debug')).toBe('0')
  })

  test('gives quotes no meaning', () => {
    expect([...parseKernelCmdline('a="b c=d"')]).toEqual([
      ['a', '"b'],
      ['c', 'd"'],
    ])
  })

  test('brings back every word of any command line made of words', () => {
    const word = fc.stringMatching(/^[^\s=]+$/)
    const value = fc.stringMatching(/^\S*$/)
    fc.assert(
      fc.property(fc.array(fc.tuple(word, value)), (pairs) => {
        const line = pairs.map(([key, text]) => `${key}=${text}`).join('  ')
        expect(parseKernelCmdline(line)).toEqual(new Map(pairs))
      }),
    )
  })
})
