import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { mountTree } from '../../../agent/disk/instance-kernel/mounted-tree.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { keepUntilEnd } from '../../support/resources.ts'

const keep = keepUntilEnd()
const MiB = 1024 * 1024
const { PATH, TMPDIR } = process.env
let folder: string

/** Before other programs there is an `unshare` that never comes to its mount. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-hung-'))
  const program = join(folder, 'unshare')
  await writeFile(program, `#!/bin/sh\necho $$ > ${folder}/pid\nexec sleep 600\n`)
  await chmod(program, 0o755)
  process.env['PATH'] = `${folder}:${PATH}`
  process.env['TMPDIR'] = folder
})
afterEach(async () => {
  vi.useRealTimers()
  process.env['PATH'] = PATH
  if (TMPDIR === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = TMPDIR
  await rm(folder, { recursive: true, force: true })
})

describe.skipIf(!hasLoopDevices('a mount that hangs'))('a mount that hangs', () => {
  test('is given up after its deadline, and leaves no process, folder or loop device', async () => {
    const disk = keep(await createLoopDevice({ sizeBytes: 8 * MiB }))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const mounting = mountTree({
      exec,
      disk: { path: disk.path, logicalSectorBytes: 512 },
      range: { offset: MiB, length: 4 * MiB },
      type: 'ext4',
      signal: new AbortController().signal,
    }).then(
      () => 'mounted',
      (error: unknown) => error,
    )
    let pid = ''
    while (pid === '') {
      await new Promise((resolve) => setImmediate(resolve))
      pid = (await readFile(join(folder, 'pid'), 'utf8').catch(() => '')).trim()
    }
    await vi.advanceTimersByTimeAsync(30_000)
    expect(await mounting).toMatchObject({
      type: 'InvalidImage',
      details: expect.stringContaining('its ext4 file system is not mounted after 30 s'),
    })
    vi.useRealTimers()
    expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')
    const left = (await readdir(folder)).filter((name) => name.startsWith('ironswarm-kernel-'))
    expect(left).toEqual([])
    const { stdout } = await exec(['losetup', '--list', '--noheadings', '--output=BACK-FILE'])
    expect(stdout.split('\n')).not.toContain(disk.path)
  })
})
