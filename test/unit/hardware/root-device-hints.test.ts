import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GiB } from '../../../agent/core/units.ts'
import type { Disk } from '../../../agent/hardware/inventory.ts'
import {
  chooseRootDisk,
  compileHints,
  HINT_KEYS,
  withoutSkipped,
} from '../../../agent/hardware/root-device-hints.ts'
import { diskWith } from './disk-fixture.ts'

const disk = diskWith()

describe('a root device hint matches', () => {
  const matching: [string, Record<string, unknown>][] = [
    ['the exact size in GiB', { size: 100 }],
    ['the exact size in GiB given as text', { size: '100' }],
    ['with = a size that is at least this', { size: '= 80' }],
    ['with == the equal number', { size: '== 100' }],
    ['with != any other number', { size: '!= 99' }],
    ['with >= and <=', { size: '>= 100', hctl: '0:0:0:0' }],
    ['with > a larger number', { size: '> 99.5' }],
    ['with < a smaller number, without blank', { size: '<101' }],
    ['a closed range at its lower end', { size: '<range-in> [ 100 200 ]' }],
    ['a closed range at its upper end', { size: '<range-in> ( 50 100 ]' }],
    ['a half-open range inside', { size: '<range-in> ( 99 101 )' }],
    ['one of several numbers', { size: '<or> 50 <or> 100' }],
    ['a model in any case, blanks trimmed', { model: '  samsung mz7km480 ' }],
    ['with s== the same text', { vendor: 's== ata' }],
    ['with s!= another text', { vendor: 's!= seagate' }],
    ['with s> text that sorts higher', { model: 's> apple' }],
    ['with <in> a part of the text', { model: '<in> mz7' }],
    ['with <or> one of several texts with blanks', { model: '<or> foo bar <or> SAMSUNG MZ7KM480' }],
    ['the short serial number', { serial: 'S2NKNX0H123456' }],
    ['the long serial number of udev', { serial: 'samsung_mz7km480_s2nknx0h123456' }],
    ['the wwn', { wwn: '0x5002538c40a1b2c3' }],
    ['the wwn with extension', { wwn_with_extension: '0x5002538c40a1b2c3aa55' }],
    ['the vendor extension', { wwn_vendor_extension: '0xaa55' }],
    ['the kernel name', { name: '/dev/sda' }],
    ['the path', { by_path: '/dev/disk/by-path/pci-0000:00:17.0-ata-1' }],
    ['the transport', { tran: 'sata' }],
    ['rotational as boolean', { rotational: false }],
    ['rotational as a word', { rotational: 'No' }],
    ['when all hints hold', { size: 100, vendor: 'ata', rotational: false }],
  ]
  test.each(matching)('%s', (_, hints) => {
    expect(compileHints(hints)(disk)).toBe(true)
  })
})

describe('a root device hint does not match', () => {
  const other: [string, Record<string, unknown>][] = [
    ['a size that is nearly equal', { size: 99 }],
    ['with = a disk that is smaller', { size: '= 101' }],
    ['a range that excludes its end', { size: '<range-in> [ 50 100 )' }],
    ['a range that excludes its beginning', { size: '<range-in> ( 100 200 ]' }],
    ['numbers that are not among the choices', { size: '<or> 50 <or> 101' }],
    ['a part of the text without <in>', { model: 'samsung' }],
    [
      'a serial that s!= excludes, though its long spelling differs',
      { serial: 's!= S2NKNX0H123456' },
    ],
    ['text that is no list, with <all-in>', { model: '<all-in> samsung mz7km480' }],
    ['text that is no number, with a numeric operator', { model: '== 5' }],
    ['when one of several hints fails', { size: 100, vendor: 'seagate' }],
    ['a rotational disk', { rotational: true }],
  ]
  test.each(other)('%s', (_, hints) => {
    expect(compileHints(hints)(disk)).toBe(false)
  })

  test.each([
    ['serial', { serials: [] }],
    ['wwn', { wwns: [] }],
  ])('a disk with an empty list for %s, whatever the operator', (key, changes) => {
    const bare = diskWith(changes)
    for (const value of ['x', 's!= x', '<in> x', '!= 5', '<or> x <or> y', 'none', '<in> none']) {
      expect(compileHints({ [key]: value })(bare), value).toBe(false)
    }
  })
})

describe('a missing attribute that is no list is compared as the text none', () => {
  const MISSING: [string, Partial<Disk>][] = [
    ['model', { model: null }],
    ['vendor', { vendor: null }],
    ['tran', { transport: null }],
    ['hctl', { hctl: null }],
    ['by_path', { byPath: null, links: ['/dev/disk/by-id/x'] }],
    ['wwn_with_extension', { wwnWithExtension: null }],
    ['wwn_vendor_extension', { wwnVendorExtension: null }],
  ]
  test.each(MISSING)('%s', (key, changes) => {
    const bare = diskWith(changes)
    const says = (value: string) => compileHints({ [key]: value })(bare)
    expect(['s!= x', 'none', 's== None', '<in> non', 's> m', '<or> x <or> none'].map(says)).toEqual(
      Array(6).fill(true),
    )
    expect(['x', 's!= none', '<in> x', '== 5', '!= 5', '<or> x <or> y'].map(says)).toEqual(
      Array(6).fill(false),
    )
  })

  test.each(['model', 'vendor', 'tran', 'hctl'])(
    'so an excluded %s keeps every disk that lacks it',
    (key) => {
      const bare = diskWith({ model: null, vendor: null, transport: null, hctl: null })
      expect(withoutSkipped([bare], [{ [key]: 's!= wanted' }])).toEqual([])
      expect(withoutSkipped([bare], [{ [key]: 'wanted' }])).toEqual([bare])
    },
  )
})

describe('a disk with several links', () => {
  const BY_PATH = ['pci-0000:00:17.0-ata-1', 'pci-0000:00:17.0-ata-1.0'].map(
    (name) => `/dev/disk/by-path/${name}`,
  )
  const linked = diskWith({ links: ['/dev/disk/by-id/ata-X', ...BY_PATH] })

  test.each(BY_PATH)('is matched by each of its paths: %s', (path) => {
    expect(compileHints({ by_path: path })(linked)).toBe(true)
    expect(compileHints({ by_path: `<or> /dev/other <or> ${path}` })(linked)).toBe(true)
    expect(compileHints({ by_path: `s!= ${path}` })(linked)).toBe(false)
    expect(withoutSkipped([linked], [{ by_path: path }])).toEqual([])
  })

  test('is not matched by a path of another disk, nor by a link that is no path', () => {
    expect(compileHints({ by_path: '/dev/disk/by-path/pci-0000:00:17.0-ata-2' })(linked)).toBe(
      false,
    )
    expect(compileHints({ by_path: '/dev/disk/by-id/ata-X' })(linked)).toBe(false)
  })

  test('may be named by any link of udev', () => {
    expect(compileHints({ name: '/dev/disk/by-id/ata-X' })(linked)).toBe(true)
    expect(compileHints({ name: '/dev/disk/by-id/ata-Y' })(linked)).toBe(false)
    expect(compileHints({ name: '<in> ata' })(linked)).toBe(false)
  })
})

test('a list in brackets is matched item by item by <all-in>', () => {
  const listing = diskWith({ model: "['alpha', 'beta', 'gamma']" })
  expect(compileHints({ model: '<all-in> gamma alpha' })(listing)).toBe(true)
  expect(compileHints({ model: '<all-in> gamma delta' })(listing)).toBe(false)
})

describe('hints nobody can understand', () => {
  test('an unknown key is refused by an error that names the known ones', () => {
    expect(() => compileHints({ colour: 'red' })).toThrow(
      expect.objectContaining({
        type: 'InvalidCommandParamsError',
        details: `there is no root device hint colour; there are ${HINT_KEYS.join(', ')}`,
      }),
    )
  })

  test.each([
    ['text where a number is due', { size: 'big' }],
    ['hexadecimal', { size: '0x64' }],
    ['a string operator on a number', { size: 's== 100' }],
    ['a number where text is due', { model: 5 }],
    ['an empty value', { model: '  ' }],
    ['an operator alone', { size: '>=' }],
    ['a range without brackets', { size: '<range-in> 1 2' }],
    ['a range that is turned round', { size: '<range-in> [ 20 10 ]' }],
    ['an empty alternative', { model: '<or> a <or>' }],
    ['a word that is no boolean', { rotational: 'maybe' }],
  ])('%s is an InvalidCommandParamsError that names the hint', (_, hints) => {
    const [key] = Object.keys(hints)
    expect(() => compileHints(hints as never)).toThrow(
      expect.objectContaining({
        type: 'InvalidCommandParamsError',
        details: expect.stringContaining(key as string),
      }),
    )
  })
})

describe('properties of hints', () => {
  const gib = fc.integer({ min: 1, max: 1_000_000 })

  test('numeric operators agree with arithmetic', () => {
    fc.assert(
      fc.property(gib, gib, (size, wanted) => {
        const target = diskWith({ sizeBytes: size * GiB })
        const says = (hint: string) => compileHints({ size: `${hint} ${wanted}` })(target)
        expect(says('=')).toBe(size >= wanted)
        expect(says('==')).toBe(size === wanted)
        expect(says('!=')).toBe(size !== wanted)
        expect(says('>')).toBe(!says('<='))
        expect(says('<')).toBe(!says('>='))
      }),
    )
  })

  test('a range holds exactly where its bounds as operators hold', () => {
    fc.assert(
      fc.property(
        gib,
        gib,
        gib,
        fc.boolean(),
        fc.boolean(),
        (size, a, b, closedLow, closedHigh) => {
          const [low, high] = [Math.min(a, b), Math.max(a, b)]
          const target = diskWith({ sizeBytes: size * GiB })
          const says = (size: string) => compileHints({ size })(target)
          const range = `<range-in> ${closedLow ? '[' : '('} ${low} ${high} ${closedHigh ? ']' : ')'}`
          const both =
            says(`${closedLow ? '>=' : '>'} ${low}`) && says(`${closedHigh ? '<=' : '<'} ${high}`)
          expect(says(range)).toBe(both)
        },
      ),
    )
  })

  test('a hint made of the attribute of a disk itself matches that disk', () => {
    const word = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9 _./:-]{0,30}$/)
    fc.assert(
      fc.property(word, (text) => {
        fc.pre(!/^s[<>=!]/i.test(text) && text.trim() !== '')
        const target = diskWith({ model: text, serials: ['x', text] })
        expect(compileHints({ model: text.toUpperCase(), serial: text })(target)).toBe(true)
        expect(compileHints({ model: `s!= ${text}` })(target)).toBe(false)
        expect(
          compileHints({ model: `<in> ${text.slice(0, 3)}x` })(diskWith({ model: text })),
        ).toBe(text.toLowerCase().includes(`${text.slice(0, 3)}x`.trim().toLowerCase()))
      }),
    )
  })

  test('any text is either understood or refused as a parameter error', () => {
    fc.assert(
      fc.property(fc.constantFrom(...HINT_KEYS), fc.string(), (key, text) => {
        try {
          expect(typeof compileHints({ [key]: text })(disk)).toBe('boolean')
        } catch (error) {
          expect(error).toMatchObject({ type: 'InvalidCommandParamsError' })
        }
      }),
    )
  })
})

describe('the root disk', () => {
  const disks = [
    diskWith({ name: '/dev/sdc', sizeBytes: 50 * GiB }),
    diskWith({ name: '/dev/sdb', sizeBytes: 50 * GiB }),
    diskWith({ name: '/dev/sda', sizeBytes: 3 * GiB }),
    diskWith({ name: '/dev/sdd', sizeBytes: 10 * GiB }),
  ]

  test('without hints is the smallest of at least 4 GiB', () => {
    expect(chooseRootDisk(disks, undefined).name).toBe('/dev/sdd')
  })

  test('of two equally small ones is the first by name', () => {
    expect(chooseRootDisk(disks.slice(0, 2), undefined).name).toBe('/dev/sdb')
  })

  test('is taken at exactly 4 GiB and not one byte below', () => {
    const exact = diskWith({ sizeBytes: 4 * GiB })
    expect(chooseRootDisk([exact], undefined)).toBe(exact)
    expect(() => chooseRootDisk([diskWith({ sizeBytes: 4 * GiB - 1 })], undefined)).toThrow()
  })

  test('with hints is the first match in the order of the list', () => {
    expect(chooseRootDisk(disks, { size: 50 }).name).toBe('/dev/sdc')
  })

  test('with hints may be smaller than 4 GiB', () => {
    expect(chooseRootDisk(disks, { name: '/dev/sda' }).name).toBe('/dev/sda')
  })

  test('may be a smaller one if the operator listed it', () => {
    const listed = diskWith({ name: '/dev/loop7', sizeBytes: 300_000_000, isListed: true })
    expect(chooseRootDisk([listed], undefined)).toBe(listed)
  })

  test.each<[string, Partial<Disk>, RegExp]>([
    ['is read-only', { isReadOnly: true }, /left alone: it is read-only/],
    [
      'must be left alone',
      { leftAlone: { reason: 'sda is a member', isWanted: false } },
      /left alone: sda is a member/,
    ],
  ])('is none that %s, with hints or without, and the error says why', (_, changes, why) => {
    const kept = diskWith(changes)
    const plain = diskWith({ name: '/dev/sdz', sizeBytes: 900 * GiB })
    expect(chooseRootDisk([kept, plain], undefined)).toBe(plain)
    expect(chooseRootDisk([kept, plain], { tran: 'sata' })).toBe(plain)
    for (const hints of [undefined, { name: '/dev/sda' }]) {
      expect(() => chooseRootDisk([kept], hints)).toThrow(
        expect.objectContaining({ type: 'DeviceNotFound', details: expect.stringMatching(why) }),
      )
    }
  })

  test('that is not there is a DeviceNotFound that names every disk and its size', () => {
    expect(() => chooseRootDisk(disks, { serial: 'nope' })).toThrow(
      expect.objectContaining({
        type: 'DeviceNotFound',
        details: expect.stringMatching(
          /"serial":"nope".*\/dev\/sdc \(50\.0 GiB.*\/dev\/sda \(3\.0/,
        ),
      }),
    )
    expect(() => chooseRootDisk([], undefined)).toThrow(/4\.0 GiB or more; .*: none/)
  })
})
