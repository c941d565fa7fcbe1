// SPDX-License-Identifier: Apache-2.0
// What npm itself makes of the project: packed as a newcomer packs it, installed where there is no registry.
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, realpath, symlink, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { hasPackages } from '../../support/packages.ts'
import { call, expectWorking } from './installed.ts'

const PROJECT = join(import.meta.dirname, '../../..')
const LONG_MS = 900_000

/** The files that git knows, as they are now, and the packages of this checkout. */
async function cloneTo(folder: string): Promise<void> {
  const { stdout } = await promisify(execFile)('git', ['-C', PROJECT, 'ls-files', '-z'])
  for (const name of stdout.split('\0').filter((each) => each !== '')) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await cp(join(PROJECT, name), join(folder, name)).catch(() => undefined)
  }
  const modules = join(folder, 'node_modules')
  await mkdir(modules)
  const there = join(PROJECT, 'node_modules')
  for (const name of await readdir(there)) {
    if (name === '.package-lock.json') await cp(join(there, name), join(modules, name))
    else await symlink(join(there, name), join(modules, name))
  }
  // newer than the manifest, as after `make setup`
  const now = new Date()
  await utimes(join(modules, '.package-lock.json'), now, now)
}

describe.runIf(hasPackages('npm-files'))('the tree', { timeout: LONG_MS }, () => {
  test('packed by npm pack and installed by npm install -g works, whatever Node npm runs', async () => {
    await using directory = await temporaryDirectory()
    const checkout = join(directory.path, 'checkout')
    await cloneTo(checkout)
    const packing = ['pack', '--silent', '--pack-destination', directory.path, checkout]
    const packed = await call('npm', packing)
    expect(packed).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\S+\.tgz\n$/) })
    const tgz = join(directory.path, packed.stdout.trim())

    const prefix = join(directory.path, 'prefix')
    const flags = ['--global', '--prefix', prefix, '--cache', join(directory.path, 'npm-cache')]
    const installed = await call('npm', ['install', ...flags, '--no-audit', '--no-fund', tgz])
    expect(installed).toMatchObject({ code: 0, stderr: '' })
    await expectWorking(join(prefix, 'bin/ironswarm'))

    const there = join(prefix, 'lib/node_modules/ironswarm')
    const names = await readdir(there, { recursive: true })
    expect(names.filter((name) => /\.ts$|node_modules/.test(name))).toEqual([])
    expect(names).toContain('build/npm/systemd/ironswarm-seed@.service')
    const { man } = JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8'))
    const pages = names.filter((name) => name.startsWith('build/npm/man/'))
    expect(man).toEqual(pages.map((name) => `./${name}`).toSorted())
    const page = await realpath(join(prefix, 'share/man/man1/ironswarm-write.1.gz'))
    expect(page).toBe(await realpath(join(there, 'build/npm/man/ironswarm-write.1.gz')))
  })
})

test('no package but those that are denied by name has an install script', async () => {
  const read = async (name: string) => JSON.parse(await readFile(join(PROJECT, name), 'utf8'))
  const { packages } = await read('package-lock.json')
  const { allowScripts } = await read('package.json')
  const found = Object.entries(packages as Record<string, { hasInstallScript?: boolean }>)
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.replace(/^.*node_modules\//, ''))
  expect(Object.entries(allowScripts)).toEqual(
    [...new Set(found)].sort().map((name) => [name, false]),
  )
})
