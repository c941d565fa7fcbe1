import { describe, expect, test } from 'vitest'
import { SALT_CHARACTERS, saltOf, sha512Crypt } from '../../../extensions/sha512-crypt.ts'

describe('SHA-512 crypt', () => {
  // the first is of Drepper's description, the others are openssl's (passwd -6 -salt … -stdin)
  test.each([
    [
      'Hello world!',
      'saltstring',
      'svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1',
    ],
    [
      'pässwörd'.repeat(20),
      'abcdefghijklmnop',
      'wKi7Z5Qyt6oIGffu6hJ8s1rd8tfKKLwljt.ODVl9FFl0Jn4.0/k5DNMjHSTfbjUrdga4n70XuLlBH1rHWtmZx.',
    ],
    [
      'x',
      './',
      '3jrfwNWEnLt8C9zEfHlvTQ/epLCdSGyE3g1OAJSALpMthN7QSVklveFhA6bioFjYYqvWMIK.dvG/VPsM4gE.H1',
    ],
    [
      'a'.repeat(64),
      'Z',
      'AbGJ4LOUbJQpVvioHHbEY/WLiV/W7wHbLaVSMGczNYA.G3/2PT.V586rnJ7OxB8TmlcTvXm2Y2u3WfujJh5eW1',
    ],
  ])('of %j with salt %j is what login expects', (password, salt, hash) => {
    expect(sha512Crypt(password, salt)).toBe(`$6$${salt}$${hash}`)
  })

  test.each(['', 'a'.repeat(17), 'no:colon', 'new\nline', 'dollar$'])(
    'takes no salt %j',
    (salt) => {
      expect(() => sha512Crypt('x', salt)).toThrow(RangeError)
    },
  )

  test('salts have 16 characters that are allowed, and differ where the bytes do', () => {
    const salts = [0, 63, 64, 255].map((byte) => saltOf(new Uint8Array(SALT_CHARACTERS).fill(byte)))
    for (const salt of salts) expect(salt).toMatch(/^[./0-9A-Za-z]{16}$/)
    expect(salts[0]).toBe(salts[2])
    expect(salts[0]).not.toBe(salts[1])
  })
})
