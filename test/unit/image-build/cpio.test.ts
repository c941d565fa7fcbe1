import { expect, test } from 'vitest'
import { directory, file, link, makeCpio } from '../../../image-build/cpio.ts'

/** Walks a newc archive as the kernel does: header, name, content, each padded to four bytes. */
function readCpio(archive: Buffer) {
  const entries = []
  for (let at = 0; at < archive.length; ) {
    const field = (i: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + i * 8, at + 14 + i * 8), 16)
    expect(archive.toString('latin1', at, at + 6)).toBe('070701')
    const [mode, mtime, size, nameSize] = [field(1), field(5), field(6), field(11)]
    const name = archive.toString('utf8', at + 110, at + 110 + nameSize - 1)
    const contentAt = Math.ceil((at + 110 + nameSize) / 4) * 4
    const content = archive.subarray(contentAt, contentAt + size)
    if (name === 'TRAILER!!!') return entries
    entries.push({ name, mode, mtime, content: content.toString() })
    at = Math.ceil((contentAt + size) / 4) * 4
  }
  throw new Error('no trailer')
}

test('an archive holds directories, files with their modes, and links, in the order given', () => {
  const archive = makeCpio(
    [
      directory('bin'),
      file('bin/a', Buffer.from('x'), 0o100755),
      file('bin/abc', Buffer.from('12345')),
      link('init', 'bin/a'),
    ],
    1000,
  )
  expect(readCpio(archive)).toEqual([
    { name: 'bin', mode: 0o040755, mtime: 1000, content: '' },
    { name: 'bin/a', mode: 0o100755, mtime: 1000, content: 'x' },
    { name: 'bin/abc', mode: 0o100644, mtime: 1000, content: '12345' },
    { name: 'init', mode: 0o120777, mtime: 1000, content: 'bin/a' },
  ])
})

test('device nodes carry major and minor number', () => {
  const archive = makeCpio([{ path: 'dev/console', mode: 0o020600, device: [5, 1] }], 0)
  expect(archive.toString('latin1', 6 + 9 * 8, 6 + 11 * 8)).toBe('0000000500000001')
})
