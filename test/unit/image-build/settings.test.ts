// What `make ramdisk` is asked for, right and wrong; a wrong wish is one line and nothing is built.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { librariesOf, programsOf } from '../../../image-build/ramdisk/contents.ts'
import { readRamdiskSettings } from '../../../image-build/ramdisk/settings.ts'

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJpnl4mCNqT4mBqPGkYwZ operator@site'
const PROJECT = join(import.meta.dirname, '../../..')

let folder: string
const at = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-settings-'))
  await writeFile(at('id.pub'), `# two of us\n${KEY}\n\nrestrict,pty ${KEY}\n`)
  await writeFile(at('id'), '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n')
  await writeFile(at('empty.pub'), '\n# nobody\n')
  await writeFile(at('image.raw'), `${KEY}\nnot a key\n`)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('it builds for bare metal, compresses well and lets nobody in unless told', async () => {
  const settings = await readRamdiskSettings({ RAMDISK: '', SSH_KEY: '', FAST: '' })
  expect(settings).toMatchObject({ variant: { name: 'metal' }, isFast: false, sshKeys: undefined })
})

test('it brings qemu’s reader of images where it is asked to, for either machine', async () => {
  expect((await readRamdiskSettings({ RAMDISK: 'vm' })).variant.hasQemu).toBe(false)
  const { variant } = await readRamdiskSettings({ RAMDISK: 'vm', QEMU: '1' })
  expect(variant).toMatchObject({ name: 'vm', hasQemu: true })
  expect(programsOf(variant)['qemu-utils']).toEqual(['usr/bin/qemu-nbd'])
})

test('it brings what burns machines in where it is asked to, and has the name that it is given', async () => {
  expect((await readRamdiskSettings({})).variant).toMatchObject({
    ...{ hasBurnIn: false, prefix: 'ironswarm' },
  })
  const { variant } = await readRamdiskSettings({ BURN_IN: '1', NAME: 'site-a' })
  expect(variant).toMatchObject({ hasBurnIn: true, prefix: 'site-a' })
  expect(Object.keys(programsOf(variant))).toEqual(expect.arrayContaining(['fio', 'stress-ng']))
  expect(librariesOf(variant)).toContain('librados2')
})

test('it takes a key as it stands, and all keys of a file', async () => {
  expect((await readRamdiskSettings({ SSH_KEY: ` ${KEY} ` })).sshKeys).toBe(KEY)
  const { sshKeys } = await readRamdiskSettings({ SSH_KEY: at('id.pub') })
  expect(sshKeys).toBe(`${KEY}\nrestrict,pty ${KEY}`)
})

test('it takes the hardware managers of a folder, which must hold one', async () => {
  const folder = 'extensions/hardware-managers/example'
  expect((await readRamdiskSettings({ HARDWARE_MANAGERS: folder })).hardwareManagers).toBe(folder)
  expect((await readRamdiskSettings({})).hardwareManagers).toBeUndefined()
  for (const [wrong, words] of [
    ['docs', 'holds no .ts, .mts, .js or .mjs file'],
    ['no-such-folder', 'is no folder that can be read (ENOENT)'],
  ] as const) {
    await expect(readRamdiskSettings({ HARDWARE_MANAGERS: wrong })).rejects.toThrow(words)
  }
})

test.for([
  [{ RAMDISK: 'nvme' }, 'RAMDISK=nvme: there are RAMDISK=metal (the default) and RAMDISK=vm'],
  [{ NAME: '../root' }, 'NAME=../root is no name of a file'],
  [{ SSH_KEY: 'id' }, 'is a private key; give its public half'],
  [{ SSH_KEY: 'empty.pub' }, 'holds no key'],
  [{ SSH_KEY: 'image.raw' }, 'has no public key in line 2'],
  [{ SSH_KEY: 'missing.pub' }, 'nor a file that can be read (ENOENT)'],
  [{ SSH_KEY: '.' }, 'nor a file that can be read (EISDIR)'],
] as const)('it refuses %o', async ([wish, words]) => {
  const env = 'SSH_KEY' in wish ? { SSH_KEY: at(wish.SSH_KEY) } : wish
  await expect(readRamdiskSettings(env)).rejects.toThrow(words)
})

test.for(['build.ts', 'boot-media.ts'])(
  '%s says what is wrong in one line and exits with 1',
  async (program) => {
    const argv = [join(PROJECT, 'image-build/ramdisk', program)]
    const env = { ...process.env, RAMDISK: 'nvme' }
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      execFile(process.execPath, argv, { env }, (error, _, words) =>
        resolve({ code: error?.code, stderr: words }),
      )
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^(ramdisk|iso): RAMDISK=nvme: there are .*\n$/)
  },
)
