// The ramdisk's script by the ramdisk's shell: who may log in by what the kernel line says.
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { hasPackages } from '../../support/packages.ts'

const SCRIPTS = join(import.meta.dirname, '../../../image-build/ramdisk/root/usr/lib/ironswarm')
const canRun = process.getuid?.() === 0 && hasPackages('boot-loaders')

const HASH = '$6$saltsalt$Zz/dots.And0thers'
const BASE64 = Buffer.from(HASH).toString('base64')
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA operator@example'
const LOCKED = 'root:!:20000:0:99999:7:::\n'

async function loginBy(cmdline: string) {
  await using root = await createBusyboxRoot({ 'proc/cmdline': `${cmdline}\n` })
  // the script's PATH is the ramdisk's
  await root.link('usr/bin', '../bin')
  for (const name of ['common', 'dynamic-login']) {
    await root.put(`usr/lib/ironswarm/${name}`, await readFile(join(SCRIPTS, name), 'utf8'))
  }
  await root.put('etc/shadow', `${LOCKED}rescue:x:1::::::\n`)
  await root.put('run/ironswarm/here', '')
  await root.put('root/here', '')
  await root.put('dev/kmsg', '')
  const { status, stderr } = spawnSync(
    'chroot',
    [root.folder, '/usr/lib/ironswarm/dynamic-login'],
    { encoding: 'utf8' },
  )
  const read = (path: string) => readFile(join(root.folder, path), 'utf8').catch(() => undefined)
  return {
    ...{ status, stderr },
    keys: await read('root/.ssh/authorized_keys'),
    shadow: await read('etc/shadow'),
    isAllowed: (await read('run/ironswarm/root-password')) !== undefined,
    said: (await read('dev/kmsg')) ?? '',
  }
}

describe.skipIf(!canRun)('the kernel line', () => {
  test.each([
    ['as diskimage-builder wants it', `quiet sshkey="${KEY}" ipa-debug=1`],
    ['first', `sshkey="${KEY}"`],
    ['twice', `sshkey="ssh-rsa AAAAother x" sshkey="${KEY}"`],
  ])('lets a key in: %s', async (_where, cmdline) => {
    expect(await loginBy(cmdline)).toMatchObject({
      ...{ status: 0, keys: `${KEY}\n`, shadow: `${LOCKED}rescue:x:1::::::\n`, isAllowed: false },
    })
  })

  test.each([
    ['in base64', `rootpwd=${BASE64} quiet`],
    ['in base64, in quotes', `quiet rootpwd="${BASE64}"`],
    ['as it is', `quiet rootpwd=${HASH} quiet`],
    ['as it is, in quotes', `rootpwd="${HASH}" quiet`],
  ])('sets the password of root: %s', async (_how, cmdline) => {
    const { shadow, isAllowed, said, stderr } = await loginBy(cmdline)
    expect(shadow).toBe(`root:${HASH}:20000:0:99999:7:::\nrescue:x:1::::::\n`)
    expect(isAllowed).toBe(true)
    for (const secret of [HASH, BASE64]) expect(said + stderr).not.toContain(secret)
  })

  test.each([
    ['neither', 'quiet ipa-debug=1'],
    ['none of them, but names that end alike', `xsshkey="${KEY}" norootpwd=${BASE64}`],
    ['a password in clear', 'rootpwd=secret'],
    ['a field more', `rootpwd="${HASH}:0:0"`],
    ['a line more', `rootpwd=${Buffer.from(`${HASH}\nroot2::0`).toString('base64')}`],
    ['a key without its words', 'sshkey=AAAAC3Nza'],
    ['what is left of a key without quotes', `sshkey=${KEY}`],
  ])('lets nobody in for %s', async (_what, cmdline) => {
    const { keys, shadow, isAllowed, said } = await loginBy(cmdline)
    expect([keys, shadow, isAllowed]).toEqual([undefined, `${LOCKED}rescue:x:1::::::\n`, false])
    expect(said).not.toContain('secret')
  })
})
