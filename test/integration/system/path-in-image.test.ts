import { execFile } from 'node:child_process'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createInImage,
  isFolderInImage,
  removeInImage,
} from '../../../agent/system/image-root/path-in-image.ts'

const run = promisify(execFile)
let folder: string
let top: string
let outside: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-path-'))
  top = join(folder, 'image')
  outside = join(folder, 'outside')
  await mkdir(join(top, 'etc'), { recursive: true })
  await mkdir(outside)
  await writeFile(join(outside, 'secret'), 'of the machine')
})
afterEach(async () => {
  expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('of the machine')
  expect(await readdir(outside)).toEqual(['secret'])
  await rm(folder, { recursive: true, force: true })
})

async function write(path: string, text = 'written', mode?: number): Promise<void> {
  await using file = await createInImage(top, path, { mode })
  await file.writeFile(text)
}
const read = (path: string) => readFile(join(top, path), 'utf8')

describe('a path in an image', () => {
  test('is written to, over what was there', async () => {
    await writeFile(join(top, 'etc/motd'), 'a longer text than the new one')
    await write('/etc/motd')
    expect(await read('etc/motd')).toBe('written')
  })

  test('has its folders made, the last one with its mode, whatever the umask', async () => {
    await write('/etc/a/b/motd', 'x', 0o777)
    expect((await stat(join(top, 'etc/a'))).mode & 0o7777).toBe(0o755)
    expect((await stat(join(top, 'etc/a/b'))).mode & 0o7777).toBe(0o777)
    await chmod(join(top, 'etc/a/b'), 0o700)
    await write('/etc/a/b/other', 'x', 0o777)
    expect((await stat(join(top, 'etc/a/b'))).mode & 0o7777).toBe(0o700)
  })

  test.each<[string, string, string]>([
    ['a link of its own', 'run/motd', '../run/motd'],
    ['an absolute link', 'run/motd', '/run/motd'],
    ['an absolute link with more .. than there are folders', 'run/motd', '/../../../run/motd'],
  ])('is followed inside by %s', async (_, at, target) => {
    await mkdir(join(top, 'run'))
    await symlink(target, join(top, 'etc/motd'))
    await write('/etc/motd')
    expect(await read(at)).toBe('written')
  })

  test('that leads out of the image ends inside', async () => {
    await symlink(outside, join(top, 'etc/out'))
    await symlink(join(outside, 'secret'), join(top, 'etc/file'))
    await symlink(`../../../../../../../..${outside}`, join(top, 'etc/up'))
    await write('/etc/out/secret')
    await write('/etc/file')
    await write('/etc/up/secret')
    expect(await read(join(outside, 'secret'))).toBe('written')
    expect(await isFolderInImage(top, '/etc/out')).toBe(true)
  })

  test('is removed, a link itself and not what it leads to', async () => {
    await symlink(join(outside, 'secret'), join(top, 'etc/link'))
    await symlink(outside, join(top, 'etc/out'))
    await removeInImage(top, '/etc/link')
    await removeInImage(top, '/etc/out/secret')
    await removeInImage(top, '/etc/none')
    await expect(lstat(join(top, 'etc/link'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('is a folder or not', async () => {
    await writeFile(join(top, 'etc/file'), '')
    await symlink('/etc', join(top, 'link'))
    await symlink('loop', join(top, 'loop'))
    const paths = ['/etc', '/link', '/etc/file', '/none', '/loop', '/none/etc']
    const found = await Promise.all(paths.map((path) => isFolderInImage(top, path)))
    expect(found).toEqual([true, true, false, false, false, false])
  })

  test.each<[string, (path: string) => Promise<unknown>, string]>([
    ['a FIFO', (path) => run('mkfifo', [path]), 'no regular file'],
    ['a folder', (path) => mkdir(path), 'no regular file'],
    ['a link to itself', (path) => symlink('motd', path), 'links'],
    [
      'a file where a folder is needed',
      async (path) => {
        await rm(join(path, '..'), { recursive: true })
        await writeFile(join(path, '..'), '')
      },
      'ENOTDIR',
    ],
  ])('is refused, and not waited for, if it is %s', async (_, make, message) => {
    await mkdir(join(top, 'etc/x'))
    await make(join(top, 'etc/x/motd'))
    await expect(write('/etc/x/motd')).rejects.toThrow(message)
  })

  test('leaves no file open', async () => {
    await symlink('loop', join(top, 'loop'))
    await write('/etc/a/b/c')
    await write('/loop/x').catch(() => undefined)
    await isFolderInImage(top, '/none/x')
    await removeInImage(top, '/etc/a/b/c')
    expect(await openBelow(folder)).toEqual([])
  })
})

/** What this process has open there; elsewhere the test's own library opens and closes as it likes. */
async function openBelow(path: string): Promise<string[]> {
  const fds = await readdir('/proc/self/fd')
  const targets = await Promise.all(
    fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return targets.filter((target) => target.startsWith(`${path}/`))
}
