import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createRoot } from '../../../agent/system/root.ts'
import { createVirtualMediaReader } from '../../../agent/system/virtual-media-reader.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('reading virtual media') && hasPackages('agent')

test.runIf(canRun)('reads parameters.txt of a vfat floppy without mounting it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-vmedia-'))
  try {
    await using floppy = await createLoopDevice({ sizeBytes: 102_400, directory })
    await run('mkfs.vfat', ['-n', 'IR-VFD-DEV', floppy.path])
    const text = join(directory, 'parameters.txt')
    await writeFile(text, 'ipa-api-url=http://10.0.0.1:6385\nipa-debug=1\n')
    await run('mcopy', ['-i', floppy.path, text, '::parameters.txt'])
    const reader = createVirtualMediaReader(createRoot('/'))
    expect(await reader.readFile(floppy.path, 'parameters.txt')).toBe(
      'ipa-api-url=http://10.0.0.1:6385\nipa-debug=1\n',
    )
    expect(await reader.readFile(floppy.path, 'none.txt')).toBeUndefined()
    expect((await reader.devices()).map(({ path }) => path)).toContain(floppy.path)
    // a loop device is neither ROM nor USB: the sanity check refuses it
    expect(await reader.chain(floppy.path)).toEqual([
      { type: 'loop', transport: null, sizeBytes: 102_400 },
    ])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('a device that is not there is no virtual medium, and no error', async () => {
  const reader = createVirtualMediaReader(createRoot('/'))
  expect(await reader.chain('/dev/nowhere')).toEqual([])
  expect(await reader.readFile('/dev/nowhere', 'parameters.txt')).toBeUndefined()
})

test('a label that no JSON may hold does not hide the medium beside it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-lsblk-'))
  const path = process.env['PATH']
  try {
    const answer = String.raw`{"blockdevices":[{"kname":"/dev/sda","label":"C:\x01\windows"},{"kname":"/dev/sdb","label":"ir-vfd-dev"}]}`
    await writeFile(join(directory, 'lsblk'), `#!/bin/sh\ncat <<'END'\n${answer}\nEND\n`, {
      mode: 0o755,
    })
    process.env['PATH'] = `${directory}:${path}`
    const devices = await createVirtualMediaReader(createRoot('/')).devices()
    expect(devices).toMatchObject([{ path: '/dev/sda' }, { path: '/dev/sdb', label: 'ir-vfd-dev' }])
  } finally {
    process.env['PATH'] = path
    await rm(directory, { recursive: true, force: true })
  }
})
