import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createInstanceDisk } from '../../support/instance-kernel/instance-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('an agent that is killed') && hasPackages('boot-loaders')
const AGENT = join(import.meta.dirname, '../../../agent')

/** Mounts the root, says what it sees, and waits. */
const READER = `
const { mountTree } = await import('${AGENT}/disk/instance-kernel/mounted-tree.ts')
const { exec } = await import('${AGENT}/system/exec.ts')
const [path, offset] = process.argv.slice(1)
const tree = await mountTree({
  exec,
  disk: { path, logicalSectorBytes: 512 },
  range: { offset: Number(offset), length: 64 * 2 ** 20 },
  type: 'ext4',
  signal: new AbortController().signal,
})
console.log((await tree.list('/', 10)).includes('file') ? 'mounted' : 'empty')
setInterval(() => tree, 1000)
`

test.skipIf(!canRun)('an agent that is killed leaves no mount and no loop device', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-killed-'))
  await using disk = await createInstanceDisk({ root: 'ext4', files: { '/file': 'x' }, esp: {} })
  const argv = ['--input-type=module', '--eval', READER, disk.path, String(disk.rootOffset)]
  const reader = spawn(process.execPath, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  })
  const [said] = (await once(reader.stdout, 'data')) as [Buffer]
  expect(said.toString()).toBe('mounted\n')
  expect(await mountPoints(folder)).toHaveLength(1)
  expect(await overDisk(disk.path)).toHaveLength(1)
  reader.kill('SIGKILL')
  await once(reader, 'exit')
  // the kernel takes away what nobody holds
  for (let tries = 0; (await overDisk(disk.path)).length > 0 && tries < 100; tries++)
    await delay(100)
  expect(await overDisk(disk.path)).toEqual([])
  expect(await mountPoints(folder)).toEqual([])
  await rm(folder, { recursive: true })
})

async function overDisk(path: string): Promise<string[]> {
  const { stdout } = await run('losetup', ['--list', '--noheadings', '--output=BACK-FILE'])
  return stdout.split('\n').filter((line) => line.trim() === path)
}

async function mountPoints(folder: string): Promise<string[]> {
  const found = new Set<string>()
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
    for (const word of mounts.split(/\s/)) if (word.startsWith(`${folder}/`)) found.add(word)
  }
  return [...found]
}
