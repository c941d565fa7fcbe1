import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AgentProcess, startAgent } from '../../support/agent-process.ts'
import { bootableTraces, differencesFromImage } from '../../support/compare-disk.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { start } from './ironswarm.ts'

const MiB = 1024 * 1024
const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c123', mac: '52:54:00:00:00:01' }

let directory: string
let ironic: FakeIronic

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-run-'))
  ironic = await createFakeIronic({ nodes: [NODE], heartbeatTimeout: 10, fastTrack: true })
})
afterEach(async () => {
  await ironic[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** An agent on this node; the same directory is the same machine. */
async function agentOn(device: string, options: object = {}): Promise<AgentProcess> {
  const agent = await startAgent({
    name: 'node-1',
    mac: NODE.mac,
    device,
    apiUrl: ironic.url,
    directory: join(directory, 'agent'),
    options: { ...options },
  })
  return agent
}

const heartbeats = () =>
  ironic.apiCalls.filter(({ path, status }) => path.includes('/heartbeat/') && status === 202)
const lookups = () => ironic.apiCalls.filter(({ path }) => path.startsWith('/v1/lookup'))

/** A file that stands for the disk of a machine nothing is deployed to. */
async function sparseDisk(): Promise<string> {
  const path = join(directory, 'disk')
  await writeFile(path, new Uint8Array(MiB))
  return path
}

describe('ironswarm run', () => {
  test.runIf(hasLoopDevices('a deploy by the stand-in') && hasPackages('agent'))(
    'looks its node up, heartbeats, is deployed by the conductor, and ends with 0 at power-off',
    async () => {
      const image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 32 * MiB })
      await using origin = await createHttpOrigin({ path: image.path })
      await using disk = await createLoopDevice({ sizeBytes: 48 * MiB, directory })
      await using agent = await agentOn(disk.path)
      const outcome = await ironic.deploy(NODE.uuid, {
        imageInfo: {
          id: 'image.raw',
          urls: [origin.url],
          disk_format: 'raw',
          os_hash_algo: 'sha256',
          os_hash_value: image.sha256,
        },
        bootMode: 'uefi',
      })
      expect(outcome).toMatchObject({ state: 'active', error: null, contractViolated: false })
      expect(await agent.exited).toBe(0)
      expect(await differencesFromImage(disk.path, image.path)).toEqual([])
      const log = await agent.log()
      for (const line of log.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
      expect(log).toContain('"msg":"agent ended"')
      expect(log).toContain('"reason":"powered off"')
    },
  )

  test('goes on as the same agent after kill -9: same token, same certificate, no new boot', async () => {
    const disk = await sparseDisk()
    const first = await agentOn(disk)
    await expect.poll(() => heartbeats().length).toBe(1)
    first.child.kill('SIGKILL')
    await first.exited
    await using second = await agentOn(disk)
    await expect.poll(() => heartbeats().length).toBe(2)
    expect(second.child.exitCode).toBeNull()
    const [before, after] = heartbeats().map(({ body }) => body as Record<string, unknown>)
    expect(after).toEqual(before)
    expect(before?.['agent_token']).toHaveLength(43)
    // the second lookup was answered with a masked token
    expect(JSON.stringify(lookups().at(-1)?.answer)).toContain('"agent_token":"******"')
  })

  test('SIGTERM ends it in order with 0', async () => {
    const agent = await agentOn(await sparseDisk())
    await expect.poll(() => heartbeats().length).toBe(1)
    agent.child.kill('SIGTERM')
    expect(await agent.exited).toBe(0)
    expect(await agent.log()).toMatch(/"reason":"Cancelled: terminated by SIGTERM".*agent ended/)
  })

  test.runIf(hasLoopDevices('stopping a deploy') && hasPackages('agent'))(
    'SIGTERM half-way through a deploy: the command ends first, the disk cannot boot, exit code 0',
    async () => {
      const image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 32 * MiB })
      const faults = { rateBytesPerSecond: 4 * MiB }
      await using origin = await createHttpOrigin({ path: image.path, faults })
      await using disk = await createLoopDevice({ sizeBytes: 48 * MiB, directory })
      await writeFile(disk.path, await readFile(image.path), { flag: 'r+' })
      expect(await bootableTraces(disk.path)).not.toEqual([])
      const agent = await agentOn(disk.path)
      const outcome = ironic.deploy(NODE.uuid, {
        imageInfo: {
          id: 'image.raw',
          urls: [origin.url],
          disk_format: 'raw',
          os_hash_algo: 'sha256',
          os_hash_value: image.sha256,
        },
      })
      // the first request asks for the size, the second for the first bytes, the third for the image
      await expect.poll(() => origin.requests.length).toBeGreaterThan(2)
      agent.child.kill('SIGTERM')
      expect(await agent.exited).toBe(0)
      expect(await agent.log()).toMatch(/"type":"CancelledError".*"msg":"write image failed"/)
      expect(await bootableTraces(disk.path)).toEqual([])
      // started again, it tells the conductor that the command failed
      await using second = await agentOn(disk.path)
      expect(await outcome).toMatchObject({ state: 'deploy failed' })
      expect(second.child.exitCode).toBeNull()
    },
  )

  test('an exception nobody caught is logged without secrets and ends it with 1', async () => {
    const crash = join(directory, 'crash.mjs')
    const message = "['http://h/?agent_token=s3', 'cret'].join('')"
    await writeFile(crash, `process.on('SIGUSR2', () => { throw new Error(${message}) })`)
    const argv = ['run', '--listen-port', '0', '--run-dir', join(directory, 'run')]
    const agent = start(argv, { NODE_OPTIONS: `--import ${crash}` })
    await agent.says(/api listening/)
    agent.child.kill('SIGUSR2')
    const { code, stdout } = await agent.finished
    expect(code).toBe(1)
    expect(stdout).toMatch(/"kind":"uncaught exception","msg":"crashed"/)
    expect(stdout).toContain('agent_token=***')
    expect(stdout).toContain('agent ended')
    expect(stdout).not.toContain('s3cret')
  })

  test('without the token it stays up, serves nothing, and says that a reboot is needed', async () => {
    const disk = await sparseDisk()
    const first = await agentOn(disk)
    await expect.poll(() => heartbeats().length).toBe(1)
    await first[Symbol.asyncDispose]()
    await rm(join(directory, 'agent/run'), { recursive: true })
    await using second = await agentOn(disk)
    await expect.poll(() => second.log()).toMatch(/reboot the node through Ironic/)
    expect(heartbeats()).toHaveLength(1)
    await expect(fetch(`https://127.0.0.1:${second.port}/`)).rejects.toThrow()
    expect(second.child.exitCode).toBeNull()
  })

  test('on a rescued machine it does nothing at all', async () => {
    const root = join(directory, 'root')
    await mkdir(join(root, 'etc'), { recursive: true })
    await writeFile(join(root, 'etc/.rescued'), '')
    const agent = start(['run', '--os-root', root, '--api-url', ironic.url])
    await agent.says(/rescued, doing nothing/)
    agent.child.kill('SIGTERM')
    expect((await agent.finished).code).toBe(0)
    expect(ironic.apiCalls).toEqual([])
  })

  test('locked down it answers once more, then nobody, and stays idle until it is told to end', async () => {
    const root = join(directory, 'root')
    await mkdir(join(root, 'sys/class/net/eth0'), { recursive: true })
    await writeFile(join(root, 'sys/class/net/eth0/ifindex'), '2\n')
    const settings = ['--listen-port', '0', '--machine-control', 'log']
    const argv = ['run', '--os-root', root, '--run-dir', join(directory, 'run'), ...settings]
    const token = 'of-at-least-32-characters-as-ironic-has-it'
    const agent = start(argv, { IRONSWARM_AGENT_TOKEN: token })
    const port = /"port":(\d+)/.exec(await agent.says(/"port":\d+.*api listening/))?.[1]
    const url = `http://127.0.0.1:${port}/v1/commands/?wait=false&agent_token=${token}`
    const body = JSON.stringify({ name: 'system.lockdown', params: {} })
    const headers = { 'Content-Type': 'application/json' }
    const answer = await fetch(url, { method: 'POST', headers, body })
    expect(await answer.json()).toMatchObject({ command_status: 'SUCCEEDED', command_result: null })
    await agent.says(/"ip","link","set","dev","eth0","down"/)
    await agent.says(/locked down, doing nothing/)
    await expect(fetch(url)).rejects.toThrow()
    expect(agent.child.exitCode).toBeNull()
    agent.child.kill('SIGTERM')
    expect((await agent.finished).code).toBe(0)
  })

  test.each(['ipa-api-url=mdns', 'ipa-inspection-callback-url=mdns'])(
    'with %s alone, and nobody who answers, it ends with 1 for the supervisor',
    async (words) => {
      const root = join(directory, 'root')
      await mkdir(join(root, 'proc'), { recursive: true })
      await writeFile(join(root, 'proc/cmdline'), `quiet ${words}\n`)
      // asked on the loopback alone
      const settings = join(directory, 'mdns.conf')
      const mdns = '[mdns]\ninterfaces = 127.0.0.1\nlookup_attempts = 1\n'
      await writeFile(settings, `[DEFAULT]\nmachine_control = log\n${mdns}`)
      const runDir = join(directory, 'run')
      const { code, stderr } = await start(
        // biome-ignore format: one flag and its value per pair
        ['run', '--config-file', settings, '--os-root', root, '--listen-port', '0', '--run-dir', runDir],
      ).finished
      expect(stderr).toMatch(
        /^ironswarm: LookupNodeError: .*nobody on this network answers by mDNS/m,
      )
      expect(code).toBe(1)
    },
  )

  test('with no URL at all it says on the console what it cannot do, and waits', async () => {
    const root = join(directory, 'root')
    await mkdir(join(root, 'proc'), { recursive: true })
    await writeFile(join(root, 'proc/cmdline'), 'quiet\n')
    const runDir = join(directory, 'run')
    const agent = start(['run', '--os-root', root, '--listen-port', '0', '--run-dir', runDir])
    await agent.says(/^ironswarm: no URL of Ironic is known, so this machine waits/m)
    await agent.says(/"level":"warn".*"msg":"less than asked for"/)
    await agent.says(/api listening/)
    expect(agent.child.exitCode).toBeNull()
    agent.child.kill('SIGTERM')
    expect((await agent.finished).code).toBe(0)
  })

  test('a kernel parameter that is no boolean ends it with 2, before it serves anything', async () => {
    const root = join(directory, 'root')
    await mkdir(join(root, 'proc'), { recursive: true })
    await writeFile(join(root, 'proc/cmdline'), 'ipa-guard-special-filesystems=maybe\n')
    const { code, stdout, stderr } = await start(['run', '--os-root', root]).finished
    expect(code).toBe(2)
    expect(stderr).toBe(
      'ironswarm: InvalidConfigError: option guard_special_filesystems is "maybe" in kernel command line (ipa-guard-special-filesystems); allowed: true, yes, on, 1 or false, no, off, 0\n',
    )
    expect(stdout).toBe('')
  })

  test('with --start-after it reads its configuration only once that file is there', async () => {
    const [ready, settings] = [join(directory, 'ready'), join(directory, 'late.conf')]
    const runDir = join(directory, 'run')
    const agent = start(
      // biome-ignore format: one flag and its value per pair
      ['run', '--start-after', ready, '--config-file', settings, '--listen-port', '0', '--run-dir', runDir],
    )
    // by now it would have ended with 2: the file of --config-file is missing
    await delay(2000)
    expect(agent.child.exitCode).toBeNull()
    await writeFile(settings, '[DEFAULT]\n')
    await writeFile(ready, '')
    await agent.says(/api listening/)
    agent.child.kill('SIGTERM')
    expect((await agent.finished).code).toBe(0)
  })

  test('a node nobody knows ends it with 1 after lookup_timeout, for the supervisor', async () => {
    const agent = await startAgent({
      name: 'stranger',
      mac: '52:54:00:99:99:99',
      device: await sparseDisk(),
      apiUrl: ironic.url,
      directory: join(directory, 'agent'),
      options: { lookup_timeout: 2 },
    })
    expect(await agent.exited).toBe(1)
    expect(await agent.log()).toMatch(/^ironswarm: LookupNodeError: no node found within 2 s/m)
  })

  test('a port that is taken ends it with 2 and names the option', async () => {
    await using holder = await agentOn(await sparseDisk())
    await expect.poll(() => heartbeats().length).toBe(1)
    const second = start([
      'run',
      '--listen-port',
      String(holder.port),
      '--listen-host',
      '127.0.0.1',
    ])
    const { code, stderr } = await second.finished
    expect(code).toBe(2)
    expect(stderr).toMatch(/^ironswarm: InvalidConfigError: cannot listen on .*--listen-port/m)
  })
})
