import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIni } from '../../../agent/config/ini.ts'

const pairs = (text: string) =>
  parseIni(text).entries.map(({ section, key, value }) => `${section}.${key}=${value}`)

describe('parseIni', () => {
  test('reads sections, = and :, and takes keys before any section as DEFAULT', () => {
    expect(pairs('a = 1\n[DEFAULT]\nb: 2\n[mdns]\nuse_mdns=true\n')).toEqual([
      'DEFAULT.a=1',
      'DEFAULT.b=2',
      'mdns.use_mdns=true',
    ])
  })

  test('keeps # and ; inside of a value, as oslo.config does: a password may hold them', () => {
    expect(pairs('image_server_password = a;b#c\n# comment\n; comment\n')).toEqual([
      'DEFAULT.image_server_password=a;b#c',
    ])
  })

  test('splits at whichever of = and : comes first', () => {
    expect(pairs('api_url = http://10.0.0.1:6385\nx: a=b')).toEqual([
      'DEFAULT.api_url=http://10.0.0.1:6385',
      'DEFAULT.x=a=b',
    ])
  })

  test('joins indented lines to the value before them', () => {
    expect(pairs('list = a,\n   b,\n\tc\nnext = 1')).toEqual([
      'DEFAULT.list=a,\nb,\nc',
      'DEFAULT.next=1',
    ])
  })

  test('removes one pair of quotes', () => {
    expect(pairs(`a = "x y"\nb = 'z'\nc = "open`)).toEqual([
      'DEFAULT.a=x y',
      'DEFAULT.b=z',
      'DEFAULT.c="open',
    ])
  })

  test('names the line that is no setting', () => {
    expect(parseIni('a = 1\n\nnonsense\n').problems).toEqual([{ line: 3, text: 'nonsense' }])
  })

  test('never throws and never loses a line number, whatever the file holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const lines = text.split(/\r\n|\n|\r/).length
        const { entries, problems } = parseIni(text)
        for (const { line } of [...entries, ...problems]) expect(line).toBeLessThanOrEqual(lines)
      }),
    )
  })
})
