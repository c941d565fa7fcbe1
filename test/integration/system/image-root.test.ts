import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rmdir, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../../agent/system/exec.ts'
import { waitUntilFree } from '../../../agent/system/image-root/exclusive-access.ts'
import {
  type ImageNode,
  type ImageRun,
  runInImage,
} from '../../../agent/system/image-root/run-in-image.ts'
import { type BusyboxRoot, createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { createWrittenDisk, type WrittenDisk } from '../../support/image-root/written-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { processesWith, secondsOfOurOwn } from '../../support/processes.ts'
import { type Keep, keepUntilEnd, useOwnTemporaryFolder } from '../../support/resources.ts'

const execute = promisify(execFile)
const canRun = hasLoopDevices('programs of an image') && hasPackages('boot-loaders')
const keep = keepUntilEnd()
/** What programs of this file sleep, so that they are told from everybody else's. */
const LONG = secondsOfOurOwn()

interface Lab {
  readonly disk: WrittenDisk
  readonly rootNode: string
  readonly nodes: readonly ImageNode[]
  readonly lines: object[]
  run(script: string, changes?: Partial<ImageRun>): ReturnType<typeof runInImage>
}

/** A disk with one partition, in it a BusyBox; the kernel knows the partition. */
async function createLab(root?: BusyboxRoot, owned: Keep = keep): Promise<Lab> {
  const { folder } = root ?? keep(await createBusyboxRoot())
  const disk = owned(
    await createWrittenDisk({
      label: 'gpt',
      partitions: ['start=2048,size=61440'],
      root: { startMiB: 1, sizeMiB: 30, folder },
      diskMiB: 34,
    }),
  )
  await execute('partx', ['--add', disk.path])
  const names = [disk.path.slice('/dev/'.length), disk.nameOf(1)]
  const nodes = await Promise.all(
    names.map(async (name) => {
      const { stdout } = await execute('cat', [`/sys/class/block/${name}/dev`])
      return { name, deviceNumber: stdout.trim(), links: [] }
    }),
  )
  const lines: object[] = []
  return {
    disk,
    rootNode: disk.nameOf(1),
    nodes,
    lines,
    run: (script, changes = {}) =>
      runInImage({
        exec,
        log: { info: (fields: object) => void lines.push(fields) } as ImageRun['log'],
        name: 'test',
        rootNode: disk.nameOf(1),
        nodes,
        script,
        args: [],
        timeoutMs: 30_000,
        ...changes,
      }),
  }
}

const temporary = await useOwnTemporaryFolder()
const mountPoints = async () =>
  (await readdir(temporary)).filter((name) => name.startsWith('ironswarm-image-root-'))

let lab: Lab | undefined
/** After each test, whatever it was about. */
afterEach(async () => {
  if (lab === undefined) return
  expect(await lab.disk.mounts()).toEqual([])
  expect(await mountPoints()).toEqual([])
  lab = undefined
})

describe.skipIf(!canRun)('a script in an image', () => {
  test('changes the image, says what came of it, and is unmounted when it is told', async () => {
    lab = await createLab()
    const result = await lab.run('echo "$1 $WORD" > /etc/made; cat /etc/made; exit 7', {
      args: ['some thing'],
      env: { WORD: 'here' },
    })
    expect(result).toEqual({ exitCode: 7, output: 'some thing here\n' })
    expect(await lab.disk.readRoot('/etc/made')).toBe('some thing here\n')
    await lab.disk.checkRoot()
    expect(lab.lines).toEqual([{ program: 'test', exit_code: 7, output: 'some thing here\n' }])
  })

  test('sees no devices but those it is given', async () => {
    lab = await createLab()
    const { output } = await lab.run('cd /dev && find . -type b -o -type c | sort')
    const mine = [lab.disk.path.slice('/dev/'.length), lab.disk.nameOf(1)]
    const all = [...mine, 'full', 'null', 'random', 'urandom', 'zero'].sort()
    expect(output.trim().split('\n')).toEqual(all.map((name) => `./${name}`))
  })

  test('knows nothing of the agent: its environment, its processes, its kernel command line', async () => {
    lab = await createLab()
    process.env['IRONSWARM_TEST_SECRET'] = 'hidden-in-the-environment'
    try {
      const { output } = await lab.run(
        'env; cat /proc/[0-9]*/environ; ps; cat /proc/cmdline; echo end',
      )
      expect(output).not.toContain('hidden-in')
      expect(output).not.toContain('vitest')
      expect(output.trimEnd().endsWith('end')).toBe(true)
    } finally {
      delete process.env['IRONSWARM_TEST_SECRET']
    }
  })
})

describe.skipIf(!canRun)('what no program of an image may do', () => {
  let shared: Lab
  const resources = new AsyncDisposableStack()
  beforeAll(async () => {
    const root = resources.use(await createBusyboxRoot({ '/etc/passwd': 'root' }))
    await execute('mknod', [join(root.folder, 'brought'), 'b', '7', '0'])
    shared = await createLab(root, (disk) => resources.use(disk))
  })
  afterAll(() => resources.disposeAsync())

  test.each<[string, string]>([
    ['mounts', 'mount -t tmpfs none /mnt'],
    ['makes the node of another disk', 'mknod /tmp/node b 7 0'],
    ['opens a node that the image brought', 'dd if=/brought of=/dev/null count=1'],
    ['makes its /dev writable', 'mount -o remount,rw /dev'],
    [
      'changes the kernel',
      'is=$(cat /proc/sys/kernel/core_pattern); echo "$is" > /proc/sys/kernel/core_pattern',
    ],
    [
      'writes to sysfs',
      'is=$(cat /sys/block/loop0/queue/nomerges); echo "$is" > /sys/block/loop0/queue/nomerges',
    ],
    ['goes through the root of its parent', 'ls /proc/1/root/'],
    [
      'leaves the chroot',
      'mkdir -p /tmp/x/bin; cp /bin/busybox /tmp/x/bin/sh; chroot /tmp/x /bin/sh -c exit',
    ],
    ['enters the namespace of its parent', 'nsenter -t 1 -m true'],
    ['gives itself a network', 'ip link add v0 type veth peer name v1'],
    ['sets the clock', '! date -s "$(date "+%F %T")" 2>&1 | grep permitted'],
    ['sets the name of the machine', 'hostname "$(hostname)"'],
  ])('one that %s is refused', async (_, script) => {
    lab = shared
    const { exitCode } = await lab.run(`mkdir -p /mnt; ${script}`)
    expect(exitCode).not.toBe(0)
  })
})

describe.skipIf(!canRun)('a hostile program of an image', () => {
  test('that speaks to the network is heard by nobody', async () => {
    let calls = 0
    const server = createServer((_, response) => {
      calls++
      response.end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    keep({ [Symbol.asyncDispose]: async () => void server.close() })
    lab = await createLab()
    const { port } = server.address() as AddressInfo
    const script = `wget -T 2 -O - http://127.0.0.1:${port}/; wget -T 2 -O - http://192.0.2.1/; cat /proc/net/route`
    const { output } = await lab.run(script)
    expect(calls).toBe(0)
    expect(output).not.toMatch(/^(eth|en)/m)
  })

  test.each([
    ['leaves a daemon behind', `(setsid sleep ${LONG} < /dev/null > /dev/null 2>&1 &); sleep 0.2`],
    ['leaves one that ignores signals', `(trap '' TERM HUP INT; setsid sleep ${LONG} &)`],
    ['leaves one that works in the image', `(cd /etc; exec setsid sleep ${LONG}) &`],
  ])('that %s ends with everything it started', async (_, script) => {
    lab = await createLab()
    await lab.run(script)
    expect(await processesWith(LONG)).toEqual([])
  })

  test.each([
    ['never ends', `sleep ${LONG}`],
    ['never ends and ignores signals', `trap '' TERM HUP INT; while :; do sleep ${LONG}; done`],
    ['never ends and closes its output', `exec > /dev/null 2>&1; sleep ${LONG}`],
    ['never ends, with daemons', `(setsid sleep ${LONG} &); sleep ${LONG}`],
    ['kills all it can reach', `kill -9 -1; kill -9 1; sleep ${LONG}`],
  ])('that %s is killed at its deadline', async (_, script) => {
    lab = await createLab()
    await expect(lab.run(script, { timeoutMs: 1000 })).rejects.toMatchObject({
      type: 'ProcessError',
      details: expect.stringContaining('no end after 1 s'),
    })
    expect(await processesWith(LONG)).toEqual([])
    await lab.disk.checkRoot().catch(async () => {
      // its journal is replayed by the next mount, as after a power cut
      expect((await (lab as Lab).run('true')).exitCode).toBe(0)
      await (lab as Lab).disk.checkRoot()
    })
  })

  test('that never ends is killed when the command is cancelled', async () => {
    lab = await createLab()
    const controller = new AbortController()
    const running = lab.run(`sleep ${LONG}`, { signal: controller.signal })
    while ((await processesWith(LONG)).length === 0) await new Promise(setImmediate)
    controller.abort()
    await expect(running).rejects.toThrow()
    expect(await processesWith(LONG)).toEqual([])
  })

  test('that prints a gigabyte is heard to the end, and its end is kept', async () => {
    lab = await createLab()
    const before = process.memoryUsage().rss
    const { output } = await lab.run('dd if=/dev/zero bs=1M count=1024; echo; echo the end', {
      timeoutMs: 120_000,
    })
    expect(output.length).toBeLessThan(8192)
    expect(output.trimEnd().endsWith('the end')).toBe(true)
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
  })

  test('that prints a password is not quoted', async () => {
    lab = await createLab()
    const { output } = await lab.run(
      'echo "fetching http://user:hunter2@192.0.2.1/ password=hunter3"',
    )
    expect(output).not.toContain('hunter')
    expect(JSON.stringify(lab.lines)).not.toContain('hunter')
  })
})

describe.skipIf(!canRun)('a program of an image whose agent is killed', () => {
  test('ends with it, and nothing is mounted', async () => {
    lab = await createLab()
    const { rootNode, nodes } = lab
    const child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'image-root-process.ts'),
        JSON.stringify({
          rootNode,
          nodes,
          script: `sleep ${LONG} & wait`,
          args: [],
          timeoutMs: 600_000,
        }),
      ],
      { stdio: 'inherit' },
    )
    const running = () => processesWith(`sleep\0${LONG}`)
    await expect.poll(running).not.toEqual([])
    child.kill('SIGKILL')
    await once(child, 'exit')
    await expect.poll(() => processesWith(LONG)).toEqual([])
    await waitUntilFree(`/dev/${rootNode}`)
    for (const name of await mountPoints()) await rmdir(join(temporary, name))
  })

  test('ends soon after its deadline even if nobody is there to end it', async () => {
    lab = await createLab()
    const forgets: typeof exec = (argv, options) => exec(argv, { ...options, timeoutMs: 60_000 })
    await expect(
      lab.run(`sleep ${LONG}`, { timeoutMs: 1000, exec: forgets }),
    ).rejects.toMatchObject({
      type: 'ProcessError',
    })
    expect(await processesWith(LONG)).toEqual([])
  })
})

describe.skipIf(!canRun)('an image that is no usual one', () => {
  test.each(['dev', 'proc', 'sys', 'run'])(
    'is refused if its /%s is a link, which would lead mounts out of it',
    async (name) => {
      const root = keep(await createBusyboxRoot())
      await root.link(`/${name}`, '/tmp')
      lab = await createLab(root)
      await expect(lab.run('true')).rejects.toMatchObject({
        type: 'ProcessError',
        details: expect.stringContaining(`/${name} of the image is a symbolic link`),
      })
    },
  )

  test('is refused if its /boot is a link to a folder of the machine, where no folder is made', async () => {
    const root = keep(await createBusyboxRoot())
    const outside = keep(await createBusyboxRoot()).folder
    await root.link('/boot', outside)
    lab = await createLab(root)
    await expect(
      lab.run('true', { esp: { node: lab.disk.nameOf(1), at: 'boot/efi' } }),
    ).rejects.toMatchObject({ details: expect.stringContaining('/boot of the image') })
    await expect(stat(join(outside, 'efi'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('gets the folders it lacks', async () => {
    const root = keep(await createBusyboxRoot())
    for (const name of ['dev', 'proc', 'sys', 'run']) {
      await execute('rmdir', [join(root.folder, name)])
    }
    lab = await createLab(root)
    expect((await lab.run('ls /proc/self > /dev/null && ls /sys/block > /dev/null')).exitCode).toBe(
      0,
    )
  })

  test('without a shell, or without a file system, is an error', async () => {
    const root = keep(await createBusyboxRoot())
    await execute('rm', ['-r', join(root.folder, 'bin')])
    lab = await createLab(root)
    expect((await lab.run('true')).exitCode).not.toBe(0)
    await execute('dd', ['if=/dev/zero', `of=${lab.disk.path}`, 'bs=1M', 'seek=1', 'count=4'])
    await execute('blockdev', ['--flushbufs', `/dev/${lab.disk.nameOf(1)}`])
    await expect(lab.run('true')).rejects.toMatchObject({
      details: expect.stringContaining('cannot be mounted'),
    })
  })

  test('has two file systems of one UUID: the link leads to one of them', async () => {
    lab = await createLab()
    const nodes = lab.nodes.map((node) => ({ ...node, links: ['disk/by-uuid/abcd'] }))
    const { output } = await lab.run('readlink /dev/disk/by-uuid/abcd', { nodes })
    expect(output).toBe(`/dev/${lab.rootNode}\n`)
  })

  test('is not blamed for what fails before its shell is started', async () => {
    lab = await createLab()
    const nodes = [...lab.nodes, ...lab.nodes]
    await expect(lab.run('true', { nodes })).rejects.toMatchObject({
      type: 'ProcessError',
      details: expect.stringContaining('mknod'),
    })
  })

  test('is not blamed for namespaces that cannot be made', async () => {
    lab = await createLab()
    const without: typeof exec = (argv, options) =>
      exec(argv.map((word) => (word === '--uts' ? '--no-such-namespace' : word)) as never, options)
    await expect(lab.run('true', { exec: without })).rejects.toMatchObject({
      type: 'ProcessError',
      details: expect.stringContaining('unshare'),
    })
  })

  test('is refused while it is mounted elsewhere', async () => {
    lab = await createLab()
    const folder = keep(await createBusyboxRoot()).folder
    // in a namespace that ends with it: others that are made meanwhile would keep a mount of this one
    const script = 'mount "$1" "$2" && echo mounted && read -r _'
    const argv = [script, 'hold', `/dev/${lab.disk.nameOf(1)}`, join(folder, 'tmp')]
    const holder = spawn('unshare', ['--mount', 'sh', '-c', ...argv], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      await once(holder.stdout, 'data')
      await expect(lab.run('true')).rejects.toMatchObject({ type: 'TargetInUseError' })
    } finally {
      holder.stdin.end()
      await once(holder, 'exit')
    }
  })
})
