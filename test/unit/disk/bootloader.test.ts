import { describe, expect, test } from 'vitest'
import { parseLoaderCsv } from '../../../agent/disk/bootloader.ts'
import { parseListing } from '../../../agent/disk/mtools.ts'

const line = 'shimx64.efi,debian,,This is the boot entry for debian\r\n'
const expected = { file: 'shimx64.efi', label: 'debian' }

describe("shim's CSV file", () => {
  test.each([
    ['UTF-16LE with byte order mark', Buffer.from(`\ufeff${line}`, 'utf16le')],
    ['UTF-16LE without', Buffer.from(line, 'utf16le')],
    ['UTF-16BE with byte order mark', Buffer.from(`\ufeff${line}`, 'utf16le').swap16()],
    ['UTF-8', Buffer.from(line)],
    ['several lines', Buffer.from(`\ufeff\r\n${line}other.efi,other,,\r\n`, 'utf16le')],
  ])('is read in %s', (_, bytes) => {
    expect(parseLoaderCsv(bytes)).toEqual(expected)
  })

  test.each(['', '\r\n', 'shimx64.efi', ',debian', 'shimx64.efi, ,x'])(
    '%j names no loader',
    (text) => {
      expect(parseLoaderCsv(Buffer.from(text, 'utf16le'))).toBeUndefined()
    },
  )
})

test('a listing of mdir has files with blanks and no directories', () => {
  expect(parseListing('::/EFI/\n::/EFI/a b.efi\n\nwarning\n::/x\n')).toEqual(['EFI/a b.efi', 'x'])
})
