import fc from 'fast-check'
import { expect, test } from 'vitest'
import { publicTexts } from '../../../../agent/api/watching/public-text.ts'

test.each([
  ['https://h/i.raw?md5=Zm9v&expires=1: status 403', 'https://h/i.raw?…: status 403'],
  ['(http://h:8080/dl/0123abcd/i.qcow2)', '(http://h:8080/…/i.qcow2)'],
  ['from https://u:pw@h/a/b.raw, then http://g/', 'from https://h/…/b.raw, then http://g/'],
  ['no url at all: a/b?c', 'no url at all: a/b?c'],
  ['http://[::1', 'http://…'],
])('%s is told as %s', (text, told) => expect(publicTexts(text)).toBe(told))

test('all texts of a document are told so, and nothing else is changed', () => {
  const url = 'https://h/x/y/z?k=v'
  const found = publicTexts({ a: [1, null, true, { b: url }], [url]: undefined })
  expect(found).toEqual({ a: [1, null, true, { b: 'https://h/…/z?…' }], [url]: undefined })
})

test('nothing of a query and of folders is left, wherever the url stands', () => {
  const word = fc.stringMatching(/^[a-z0-9]{8,16}$/)
  const around = fc.constantFrom('', ' ', '"', '(', ': ')
  fc.assert(
    fc.property(word, word, around, around, (folder, value, before, after) => {
      const told = publicTexts(`${before}https://host/${folder}/image.raw?t=${value}${after}`)
      expect(told).not.toContain(folder)
      expect(told).not.toContain(value)
      expect(told).toContain('https://host/')
    }),
  )
})
