import { describe, expect, test } from 'vitest'
import { parseBootEntries } from '../../../agent/system/efi.ts'

const LISTING = [
  'BootCurrent: 0001',
  'Timeout: 0 seconds',
  'BootOrder: 0001,0000',
  'Boot0000* UiApp\tFvVol(7cb8)/FvFile(462c)',
  'Boot0001* Red Hat, Inc. (shim)\tHD(1,GPT,6e1b)/File(\\EFI\\BOOT.EFI)',
  'Boot00AB  off',
  'MirroredPercentageAbove4G: 0.00',
].join('\n')
const ENTRIES = [
  { number: '0000', label: 'UiApp', path: 'FvVol(7cb8)/FvFile(462c)' },
  { number: '0001', label: 'Red Hat, Inc. (shim)', path: 'HD(1,GPT,6e1b)/File(\\EFI\\BOOT.EFI)' },
  { number: '00AB', label: 'off', path: '' },
]

describe("efibootmgr's listing", () => {
  test('has active and inactive entries, labels with blanks, with and without path', () => {
    expect(parseBootEntries(LISTING)).toEqual(ENTRIES)
  })

  test('is understood in UTF-16 too', () => {
    expect(parseBootEntries(Buffer.from(LISTING, 'utf16le').toString('utf8'))).toEqual(ENTRIES)
  })

  test('of firmware without entries is empty', () => {
    expect(parseBootEntries('BootCurrent: 0000\nNo BootOrder is set\n')).toEqual([])
  })
})
