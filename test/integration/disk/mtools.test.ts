import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createFatReader } from '../../../agent/disk/mtools.ts'
import { exec } from '../../../agent/system/exec.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const GOOD = 'EFI/BOOT/BOOTX64.EFI'

describe.skipIf(!hasPackages('agent'))('a FAT file system', () => {
  let folder: string
  let image: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-fat-'))
    image = join(folder, 'esp')
    await run('mkfs.vfat', ['-C', image, '16384'])
    for (const name of ['EFI', 'EFI/AAAA', 'EFI/BOOT', 'EFI/ZZZZ']) await mkdirInImage(name)
    await put(GOOD, 'good')
    await put('EFI/AAAA/A.EFI', 'a')
    await put('EFI/ZZZZ/Z.EFI', 'z')
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  const mkdirInImage = (name: string) => run('mmd', ['-i', image, `::/${name}`])
  async function put(path: string, content: string): Promise<void> {
    const file = join(folder, 'content')
    await writeFile(file, content)
    await run('mcopy', ['-i', image, file, `::/${path}`])
  }
  /** Points a folder at a cluster that is none. */
  async function breakFolder(name: string): Promise<void> {
    const bytes = await readFile(image)
    const at = bytes.indexOf(Buffer.from(`${name.padEnd(11)}\x10`))
    bytes.writeUInt16LE(0xfff0, at + 26)
    await writeFile(image, bytes)
  }
  const reader = () => createFatReader(exec, image, 0)
  const readText = async (path: string) =>
    Buffer.from(await reader().readFile(path, 100)).toString()

  test('is listed folder by folder where one cannot be read, the others whole', async () => {
    await breakFolder('AAAA')
    expect((await reader().listFiles()).sort()).toEqual([GOOD, 'EFI/ZZZZ/Z.EFI'])
  })

  test('is listed as far as that folder goes when it lies at the end', async () => {
    await breakFolder('ZZZZ')
    expect((await reader().listFiles()).sort()).toEqual(['EFI/AAAA/A.EFI', GOOD])
  })

  test.each(['[odd]', 'a b', 'x]y[', "it's", 'semi;colon', '-n'])(
    'gives the files of a folder called %s, and the others',
    async (name) => {
      const escaped = name.replaceAll(/[[\]]/g, '\\$&')
      await run('mmd', ['-i', image, `::/EFI/${name}`])
      await put(`EFI/${escaped}/BOOTX64.CSV`, 'words')
      const files = await reader().listFiles()
      expect(files).toContain(GOOD)
      expect(files).toContain(`EFI/${name}/BOOTX64.CSV`)
      expect(await readText(`EFI/${name}/BOOTX64.CSV`)).toBe('words')
    },
  )

  test('that is none is a ProcessError', async () => {
    await writeFile(image, Buffer.alloc(1_000_000, 0x5a))
    await expect(reader().listFiles()).rejects.toMatchObject({ type: 'ProcessError' })
  })
})
