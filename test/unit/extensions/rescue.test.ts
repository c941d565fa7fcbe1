import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { sha512Crypt } from '../../../extensions/sha512-crypt.ts'
import { createExtensionLab } from './extension-lab.ts'

const FOLDER = '/etc/ipa-rescue-config'
const FILE = `${FOLDER}/ipa-rescue-password`
const RAMDISK = { files: { [`${FOLDER}/.keep`]: '' } }
const PASSWORD = 'open sesame'
const HASH = '$5$S3gO9kt82Lyz7QpS$xGuRZ38AhSHw7.8ejNnQTNqrf/k08EmZGmrvdH0I7aC'

const finalize = 'rescue.finalize_rescue'

describe('rescue.finalize_rescue', () => {
  test('leaves a hashed password as it is, for root alone, and then withdraws', async () => {
    await using lab = await createExtensionLab(RAMDISK)
    expect(await lab.run(finalize, { rescue_password: HASH, hashed: true })).toBeNull()
    const path = lab.deps.root.path(FILE)
    expect(await readFile(path, 'utf8')).toBe(HASH)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(lab.deps.root.path(FOLDER))).toEqual(['.keep', 'ipa-rescue-password'])
    expect((await stat(lab.deps.root.path('/etc/.rescued'))).isFile()).toBe(true)
    expect(lab.events).toEqual(['rescued'])
  })

  test.each([{ hashed: false }, {}, { hashed: null }])(
    'hashes a password that is not hashed (%j), with a salt of its own',
    async (extra) => {
      await using lab = await createExtensionLab(RAMDISK)
      const hashes: string[] = []
      for (let i = 0; i < 2; i++) {
        await lab.run(finalize, { rescue_password: PASSWORD, ...extra })
        hashes.push(await readFile(lab.deps.root.path(FILE), 'utf8'))
      }
      for (const hash of hashes) expect(hash).toBe(sha512Crypt(PASSWORD, hash.split('$')[2] ?? ''))
      expect(hashes[0]).not.toBe(hashes[1])
    },
  )

  test('fails where the ramdisk has no directory for it, goes on serving, and says why', async () => {
    await using lab = await createExtensionLab({ files: { '/etc/hostname': 'ramdisk' } })
    await expect(lab.run(finalize, { rescue_password: HASH, hashed: true })).rejects.toMatchObject({
      type: 'CommandExecutionError',
      details: expect.stringContaining('built without support for rescue'),
    })
    expect(lab.events).toEqual([])
    await expect(stat(lab.deps.root.path('/etc/.rescued'))).rejects.toThrow('ENOENT')
  })

  test('succeeds when only the mark for later starts cannot be made', async () => {
    await using lab = await createExtensionLab(RAMDISK)
    await mkdir(lab.deps.root.path('/etc/.rescued'))
    await lab.run(finalize, { rescue_password: HASH, hashed: true })
    expect(lab.events).toEqual(['rescued'])
    expect(lab.logLines.join('')).toContain('rescue not marked')
  })

  test.each([
    ['no password', {}],
    ['an empty one', { rescue_password: '' }],
    ['one that is no string', { rescue_password: 12345678 }],
    ['one too long to type', { rescue_password: 'p'.repeat(513) }],
    ['a line feed, which would make a second line', { rescue_password: 'secret\nroot::0' }],
    ['a hash with a colon', { rescue_password: '$6$secret:x', hashed: true }],
    ['hashed as a word', { rescue_password: 'secret', hashed: 'yes' }],
    ['an unknown parameter', { rescue_password: 'secret', user: 'root' }],
  ])('refuses %s without quoting it', async (_case, params) => {
    await using lab = await createExtensionLab(RAMDISK)
    const error: unknown = await lab.run(finalize, params).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ type: 'InvalidCommandParamsError', status: 400 })
    expect(JSON.stringify(error)).not.toMatch(/secret|12345678/)
    expect(lab.events).toEqual([])
  })

  test.each([
    ['plain', { rescue_password: PASSWORD }],
    ['hashed', { rescue_password: HASH, hashed: true }],
  ])('logs neither the %s password nor its hash, at any level', async (_case, params) => {
    await using lab = await createExtensionLab(RAMDISK)
    await lab.run(finalize, params)
    lab.deps.log.error({ params }, 'what a careless line would say')
    const log = lab.logLines.join('')
    expect(log).toContain('rescue finalized')
    expect(log).not.toContain(params.rescue_password)
    expect(log).not.toContain(await readFile(lab.deps.root.path(FILE), 'utf8'))
  })

  test('runs no command: the password is in no process list', async () => {
    await using lab = await createExtensionLab(RAMDISK)
    await lab.run(finalize, { rescue_password: PASSWORD })
    expect(lab.machine.ran).toEqual([])
  })
})
