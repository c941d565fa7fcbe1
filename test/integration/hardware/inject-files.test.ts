import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { createInjectStep } from '../../../agent/hardware/inject/inject-files.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { createWrittenDisk, type WrittenDisk } from '../../support/image-root/written-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { keepUntilEnd, useOwnTemporaryFolder } from '../../support/resources.ts'
import { callWith } from '../../unit/hardware/manager-fixture.ts'
import { testConfig, testLogger } from '../image/deploy-lab.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('files in an image') && hasPackages('boot-loaders')
const keep = keepUntilEnd()
const temporary = await useOwnTemporaryFolder()
const HELLO = { path: '/etc/deep/motd', content: Buffer.from('hello').toString('base64') }

let disk: WrittenDisk
afterEach(async () => {
  if (canRun) expect(await disk.mounts()).toEqual([])
})

/** A disk with a swap partition and a root file system. */
async function createDisk(links: Readonly<Record<string, string>> = {}): Promise<WrittenDisk> {
  const root = keep(await createBusyboxRoot({ '/etc/old': 'old' }))
  for (const [path, target] of Object.entries(links)) await root.link(path, target)
  disk = keep(
    await createWrittenDisk({
      label: 'gpt',
      partitions: ['start=2048,size=2048,type=S', 'start=4096,size=61440'],
      root: { startMiB: 2, sizeMiB: 30, folder: root.folder },
      diskMiB: 36,
    }),
  )
  return disk
}

const inject = (files: unknown, signal = new AbortController().signal) => {
  const call = callWith({ files } as never)
  const step = createInjectStep({
    config: testConfig(),
    exec,
    root: createRoot('/'),
    log: testLogger(),
    findDisk: async () => disk.path,
  })
  return step.run({ ...call, context: { ...call.context, signal } })
}

describe.skipIf(!canRun)('inject_files', () => {
  test('writes a file where its first folder is, with mode and owner, and removes another', async () => {
    const { readRoot, checkRoot } = await createDisk()
    const file = { ...HELLO, mode: 0o640, dirmode: 0o700, owner: 12, group: 34 }
    expect(await inject([file, { path: '/etc/old', deleted: true }])).toBeNull()
    expect(await readRoot('/etc/deep/motd')).toBe('hello')
    expect(await readRoot('/etc/old')).toBeUndefined()
    await checkRoot()
    expect(await statOf('/etc/deep/motd')).toMatch(/Mode: +0640 .*User: +12 +Group: +34 /s)
    expect(await statOf('/etc/deep')).toMatch(/Mode: +0700 /)
  })

  test.each(['2', 2, 'UUID=e2d6ea51-0000-4000-8000-000000000001'])(
    'writes to the partition that is called %j',
    async (partition) => {
      const { readRoot } = await createDisk()
      await inject([{ path: '/top', content: HELLO.content, partition }])
      expect(await readRoot('/top')).toBe('hello')
    },
  )

  test('fetches content by a url of the node', async () => {
    const asked: (string | undefined)[] = []
    const server = createServer((request, response) => {
      asked.push(request.url)
      response.statusCode = request.url === '/none' ? 404 : 200
      response.end('fetched')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    keep({ [Symbol.asyncDispose]: async () => void server.close() })
    const { port } = server.address() as AddressInfo
    const { readRoot } = await createDisk()
    await inject([{ ...HELLO, content: `http://127.0.0.1:${port}/some` }])
    expect(await readRoot('/etc/deep/motd')).toBe('fetched')
    const missing = inject([{ ...HELLO, content: `http://127.0.0.1:${port}/none` }])
    await expect(missing).rejects.toThrow('answered 404')
    expect(asked).toEqual(['/some', '/none'])
  })

  test.each<[string, object, string]>([
    ['a folder that no partition has', { path: '/nowhere/x' }, 'DeviceNotFound'],
    ['a partition that is not there', { partition: 7 }, 'DeviceNotFound'],
    ['a disk that is not the root disk', { partition: '/dev/loop0' }, 'DeviceNotFound'],
    ['a partition without a file system', { partition: 1 }, 'ProcessError'],
    ['a file where a folder is', { path: '/etc', partition: 2 }, 'CommandExecutionError'],
  ])('fails for %s, and leaves nothing mounted', async (_, changes, type) => {
    await createDisk()
    await expect(inject([{ ...HELLO, ...changes }])).rejects.toMatchObject({ type })
    expect(
      (await readdir(temporary)).filter((name) => name.includes('ironswarm-mounted-')),
    ).toEqual([])
  })

  test('follows no link of the image out of it', async () => {
    const outside = keep(await createBusyboxRoot()).folder
    const { readRoot } = await createDisk({ '/srv': outside })
    await inject([{ ...HELLO, path: '/srv/etc/motd', partition: 2 }])
    expect(await readdir(`${outside}/etc`)).toEqual([])
    expect(await readRoot(`${outside}/etc/motd`)).toBe('hello')
  })

  test('is told when it is cancelled', async () => {
    await createDisk()
    await expect(inject([HELLO], AbortSignal.abort())).rejects.toThrow()
  })
})

async function statOf(path: string): Promise<string> {
  const node = `/dev/${disk.nameOf(2)}`
  await run('blockdev', ['--flushbufs', node])
  return (await run('debugfs', ['-R', `stat ${path}`, node])).stdout
}
