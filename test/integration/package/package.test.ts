import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeProgram } from '../../../agent/cli/program.ts'
import { OPTIONS } from '../../../agent/config/options.ts'
import { makeDeb } from '../../../image-build/package/deb.ts'
import { leavesOf, ownOptions } from '../../../image-build/package/man-pages.ts'
import { makePackageTree } from '../../../image-build/package/package-tree.ts'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { hasPackages } from '../../support/packages.ts'
import { call, expectWorking } from './installed.ts'

const PROJECT = join(import.meta.dirname, '../../..')
describe.runIf(hasPackages('packaging'))('an installed ironswarm', () => {
  let folder: string
  let deb: string
  let root: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-package-'))
    const cache = join(PROJECT, 'build/ramdisk-cache')
    await mkdir(cache, { recursive: true })
    const content = await makePackageTree(PROJECT, cache)
    deb = await makeDeb(content, folder, 0)
    root = join(folder, 'root')
    const extracted = await call('dpkg-deb', ['-x', deb, root])
    expect(extracted).toMatchObject({ code: 0 })
  }, 900_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('by its Debian package works, unpacked anywhere', async () => {
    await expectWorking(join(root, 'usr/bin/ironswarm'))
    // nothing is kept beside what dpkg owns
    expect((await readdir(join(root, 'usr/lib/ironswarm'))).toSorted()).toEqual([
      'agent',
      'node',
      'package.json',
    ])
  })

  test.runIf(process.getuid?.() === 0)(
    'is installed and purged by dpkg, and leaves nothing',
    async () => {
      const system = join(folder, 'system')
      await mkdir(join(system, 'var/lib/dpkg/info'), { recursive: true })
      await mkdir(join(system, 'var/lib/dpkg/updates'))
      await writeFile(join(system, 'var/lib/dpkg/status'), '')
      const dpkg = (...args: string[]) =>
        call('dpkg', [`--root=${system}`, '--force-depends', '--log=/dev/null', ...args])
      expect(await dpkg('-i', deb)).toMatchObject({ code: 0 })
      const version = await call(join(system, 'usr/bin/ironswarm'), ['--version'])
      expect(version).toMatchObject({ code: 0 })
      expect((await dpkg('--verify', 'ironswarm')).stdout).toBe('')
      expect(await dpkg('--purge', 'ironswarm')).toMatchObject({ code: 0 })
      expect(existsSync(join(system, 'usr'))).toBe(false)
    },
  )

  test('enables no unit where a copied system applies its presets at the first boot', async () => {
    const preset = ['preset-all', '--preset-mode=enable-only']
    expect(await call('systemctl', [`--root=${root}`, ...preset])).toMatchObject({ code: 0 })
    expect(existsSync(join(root, 'etc/systemd/system/multi-user.target.wants'))).toBe(false)
  })

  test('has nothing that lintian holds against it', async () => {
    const { stdout } = await call('lintian', ['--allow-root', '--fail-on=error,warning', deb])
    const tags = stdout.split('\n').filter((line) => /^[EW]: /.test(line))
    expect(tags).toEqual([])
  }, 900_000)

  test('has a manual page for each command, which mandoc finds nothing wrong with', async () => {
    const program = describeProgram('0')
    const pages = join(root, 'usr/share/man')
    const names = leavesOf(program).map(
      (verb) => `ironswarm-${verb.path.replaceAll(' ', '-')}.1.gz`,
    )
    expect((await readdir(join(pages, 'man1'))).toSorted()).toEqual(
      ['ironswarm.1.gz', ...names].toSorted(),
    )
    for (const chapter of ['man1', 'man5']) {
      for (const name of await readdir(join(pages, chapter))) {
        const path = join(pages, chapter, name)
        const judged = await call('sh', ['-c', `gzip -dc '${path}' | mandoc -Tlint -Wwarning`])
        expect([name, judged.stdout]).toEqual([name, ''])
      }
    }
    const read = async (page: string) => {
      const { stdout } = await call('sh', [
        '-c',
        `gzip -dc '${join(pages, page)}' | mandoc -Tutf8 | col -b`,
      ])
      return stdout.replaceAll(/\s+/g, ' ')
    }
    const options = await read('man5/ironswarm-options.5.gz')
    for (const name of Object.keys(OPTIONS)) expect(options).toContain(` ${name} `)
    const write = await read('man1/ironswarm-write.1.gz')
    const verb = leavesOf(program).find(({ path }) => path === 'write')
    for (const { long } of verb ? ownOptions(verb) : []) expect(write).toContain(String(long))
    expect(write).toContain('ironswarm write debian.raw /dev/sdX')
  })

  test('has units that systemd takes', async () => {
    const system = join(folder, 'units')
    await cp(root, system, { recursive: true })
    // what they want and come after
    await cp('/usr/lib/systemd/system', join(system, 'usr/lib/systemd/system'), {
      recursive: true,
      force: false,
      verbatimSymlinks: true,
    })
    for (const unit of ['ironswarm-agent.service', 'ironswarm-seed@image-1.raw.service']) {
      const verified = await call('systemd-analyze', [
        'verify',
        `--root=${system}`,
        '--man=no',
        unit,
      ])
      const ours = verified.stderr.split('\n').filter((line) => line.includes('ironswarm'))
      expect(ours).toEqual([])
    }
    const agent = await readFile(
      join(root, 'usr/lib/systemd/system/ironswarm-agent.service'),
      'utf8',
    )
    expect(agent).toContain('ConditionPathExists=!/etc/.rescued')
  })

  const COMPLETIONS: [words: string[], expected: string][] = [
    [['wr'], 'write'],
    [['torrent', ''], 'create show'],
    [['torrent', 'create', '--pi'], '--piece-length'],
    [['write', '--form'], '--format'],
    [['write', '--format', 'q'], 'qcow2'],
    [['watch', '--sort', 'p'], 'peers'],
  ]

  test.each([...COMPLETIONS, [['write', '/e'], '']])(
    'completes %j in bash',
    async (words, expected) => {
      const script = `
      source '${join(root, 'usr/share/bash-completion/completions/ironswarm')}'
      COMP_WORDS=(ironswarm "$@"); COMP_CWORD=$#; COMPREPLY=()
      _ironswarm ironswarm "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
      echo "\${COMPREPLY[*]}"`
      const { stdout, stderr } = await call('bash', ['-c', script, 'bash', ...words])
      expect(stderr).toBe('')
      expect(stdout.trim()).toBe(expected)
    },
  )

  test.each([...COMPLETIONS, [['write', '/et'], 'etc']])(
    'completes %j in zsh',
    async (words, expected) => {
      await using directory = await temporaryDirectory()
      const file = join(directory.path, 'matches')
      const line = ['ironswarm', ...words].join(' ')
      const script = join(import.meta.dirname, 'complete.zsh')
      const completions = join(root, 'usr/share/zsh/vendor-completions')
      const ended = await call('zsh', ['-f', script, completions, line, file], { TERM: 'dumb' })
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      const matches = (await readFile(file, 'utf8')).split('\n').filter((each) => each !== '')
      expect(matches).toEqual([...expected.split(' '), 'END'])
    },
  )
})
