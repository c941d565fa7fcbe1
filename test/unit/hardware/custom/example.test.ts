// The example of the documentation, as somebody else would have it: alone in a directory, with programs of the maker.
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SUPPORT } from '../../../../agent/hardware/manager.ts'
import { exec } from '../../../../agent/system/exec.ts'
import { callWith, managerWith } from '../manager-fixture.ts'
import { wireDisk } from '../wire-fixture.ts'
import { loadManagers, type ManagerLab } from './manager-files.ts'

const EXAMPLE = 'extensions/hardware-managers/example/magic-store.ts'
const INTERFACE = 'agent/hardware/custom/interface.ts'
const TYPES = `from '../../../agent/hardware/custom/interface.ts'`

const PROGRAMS = {
  lsblk: 'echo "ACME MagicStore 9000"; echo QEMU',
  // notes how it was called
  magicstore: 'echo "$*" >> "$(dirname "$0")/called"; echo "now $2"',
}

const generic = managerWith('Generic', SUPPORT.GENERIC, {
  eraseBlockDevice: async () => 'overwritten',
  filterDevice: async (_kind, device) => device,
})
const signal = new AbortController().signal
const path = process.env['PATH']
let bin: string

beforeEach(async () => {
  bin = await mkdtemp(join(tmpdir(), 'ironswarm-bin-'))
  for (const [name, text] of Object.entries(PROGRAMS)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  }
  process.env['PATH'] = `${bin}:${path}`
})
afterEach(async () => {
  process.env['PATH'] = path
  await rm(bin, { recursive: true, force: true })
})

const called = () => readFile(join(bin, 'called'), 'utf8')

async function loaded(): Promise<ManagerLab> {
  // the import of types is gone before it is resolved
  return await loadManagers(
    { 'magic-store.ts': await readFile(EXAMPLE, 'utf8') },
    { others: [generic] },
  )
}

describe('the example', () => {
  test('supports machines with drives of its maker, before the generic manager', async () => {
    await using lab = await loaded()
    expect(lab.hardware.leftOut).toEqual([])
    expect(Object.keys(lab.hardware.versions())).toEqual(['magic_store', 'generic'])
  })

  test('is not used on a machine without them', async () => {
    await writeFile(join(bin, 'lsblk'), '#!/bin/sh\necho QEMU\n')
    await using lab = await loaded()
    expect(Object.keys(lab.hardware.versions())).toEqual(['generic'])
  })

  test('erases its own drives by their program, and leaves others to the next manager', async () => {
    await using lab = await loaded()
    const erase = (model: string) =>
      lab.hardware.dispatch('eraseBlockDevice', {}, wireDisk({ model }), signal)
    expect(await erase('ACME MagicStore 9000')).toBe('sanitized by magicstore')
    expect(await erase('QEMU')).toBe('overwritten')
    expect(await called()).toBe('sanitize --wait /dev/sda\n')
  })

  test('hides the management LUN, and nothing else', async () => {
    await using lab = await loaded()
    const filter = (model: string) =>
      lab.hardware.dispatch('filterDevice', 'disk', wireDisk({ model }))
    expect(await filter('ACME MagicStore MGMT')).toBeNull()
    expect(await filter('QEMU')).toEqual(wireDisk({ model: 'QEMU' }))
  })

  test('has a step that updates the firmware, and refuses a version that is none', async () => {
    await using lab = await loaded()
    const update = (version: string) =>
      lab.hardware.runStep('service', 'update_magic_store_firmware', callWith({ version }))
    expect(await update('1.2.3')).toEqual({ firmware: 'now 1.2.3' })
    await expect(update('latest; reboot')).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
    })
    expect(await called()).toBe('firmware 1.2.3\n')
  })
})

describe('outside of this project', () => {
  let folder: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-outside-'))
    await copyFile(INTERFACE, join(folder, 'interface.ts'))
    await mkdir(join(folder, 'node_modules/@types'), { recursive: true })
    await symlink(resolve('node_modules/@types/node'), join(folder, 'node_modules/@types/node'))
    await symlink(resolve('node_modules/undici-types'), join(folder, 'node_modules/undici-types'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  /** What the compiler says of the manager, with the interface beside it and nothing else of ours. */
  async function compile(text: string): Promise<string> {
    await writeFile(join(folder, 'manager.ts'), text.replace(TYPES, `from './interface.ts'`))
    const compilerOptions = {
      ...{ noEmit: true, strict: true, module: 'nodenext', target: 'es2024', types: ['node'] },
      ...{ allowImportingTsExtensions: true, erasableSyntaxOnly: true },
    }
    const project = { compilerOptions, files: ['manager.ts'] }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project))
    const { stdout } = await exec([resolve('node_modules/.bin/tsc'), '-p', folder], {
      okExitCodes: [0, 1, 2],
      timeoutMs: 120_000,
    })
    return stdout
  }

  test('it compiles with a copy of the interface alone', async () => {
    expect(await compile(await readFile(EXAMPLE, 'utf8'))).toBe('')
  })

  test('a call that answers what it may not is an error of the compiler', async () => {
    const text = await readFile(EXAMPLE, 'utf8')
    const wrong = text.replace("return 'sanitized by magicstore'", 'return 7')
    expect(await compile(wrong)).toMatch(/TS2322|TS2769|not assignable/)
  })
})
