// SPDX-License-Identifier: Apache-2.0
// The services of the Debian package, installed by dpkg and started by a systemd that runs: what they do, and that they
// end, come back or stay away as the pages say.
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDeb } from '../../../image-build/package/deb.ts'
import { makePackageTree } from '../../../image-build/package/package-tree.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { hasPackages } from '../../support/packages.ts'
import { canStartSystemd, type SystemdSystem, startSystemd } from '../../support/systemd-system.ts'

const PROJECT = join(import.meta.dirname, '../../..')
const MiB = 1024 * 1024
const SEED = 'ironswarm-seed@image.raw.service'
const AGENT = 'ironswarm-agent.service'
const FILES = '/var/lib/ironswarm'
/** An Ironic that says what it is asked, a line each. */
const IRONIC = `
  import { createFakeIronic } from '${PROJECT}/test/support/fake-ironic.ts'
  const [host, mac] = process.argv.slice(1)
  const nodes = [{ uuid: '3f1c2e9a-7b54-4a0e-9d0c-1f6f0a5b7c21', name: 'node-1', mac }]
  const ironic = await createFakeIronic({ nodes, host, port: 6385, fastTrack: true })
  ironic.events.on('api', ({ method, path, status }) => console.log(method, path, status))
  console.log('ready')`
/** A tracker. */
const TRACKER = `
  import { startTracker } from '${PROJECT}/test/support/tracker.ts'
  console.log((await startTracker(process.argv[1])).url)`

describe.runIf(hasPackages('packaging') && canStartSystemd())(
  'the services of an installed package',
  () => {
    let folder: string
    let system: SystemdSystem

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'ironswarm-units-'))
      const cache = join(PROJECT, 'build/ramdisk-cache')
      await mkdir(cache, { recursive: true })
      const deb = await makeDeb(await makePackageTree(PROJECT, cache), folder, 0)
      system = await startSystemd()
      await writeFile(system.path('/tmp/ironswarm.deb'), await readFile(deb))
      const installed = await system.run('dpkg', '--install', '/tmp/ironswarm.deb')
      expect(installed).toMatchObject({ code: 0 })
      expect(await systemctl('daemon-reload')).toMatchObject({ code: 0 })
    }, 900_000)
    afterAll(async () => {
      await system?.[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    })

    const systemctl = (...args: string[]) => system.run('systemctl', ...args)
    const state = async (unit: string) => (await system.unit(unit))['ActiveState']
    const journal = async (unit: string) =>
      (await system.run('journalctl', '--no-pager', '--output=cat', `--unit=${unit}`)).stdout
    const flags = (name: string, text: string) =>
      writeFile(system.path(`/etc/default/${name}`), text)
    /** The first line of a program of ours in that system's network, and all of them. */
    const program = async (script: string, ...args: string[]) => {
      const child = system.beside([
        ...[process.execPath, '--input-type=module', '--eval', script, ...args],
      ])
      const lines: string[] = []
      const input = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })
      input.on('line', (line) => lines.push(line))
      const [first] = await once(input, 'line')
      return { first: String(first), lines }
    }

    test('none is started or enabled by the installation', async () => {
      for (const unit of [SEED, AGENT]) expect(await state(unit)).toBe('inactive')
      const { stdout } = await systemctl('is-enabled', 'ironswarm-agent', 'ironswarm-seed@.service')
      expect(stdout.trim().split('\n')).toEqual(['disabled', 'disabled'])
    })

    describe('a seed', () => {
      const digestOf = async () => {
        const image = await makeDiskImage(join(folder, 'image.raw'), { sizeBytes: 8 * MiB })
        await mkdir(system.path(FILES), { recursive: true })
        await writeFile(system.path(`${FILES}/image.raw`), await readFile(image.path))
        return image.sha256
      }

      test('whose files are not there does not start, and nothing is wrong', async () => {
        expect(await systemctl('start', SEED)).toMatchObject({ code: 0 })
        expect(await system.unit(SEED)).toMatchObject({
          ActiveState: 'inactive',
          ConditionResult: 'no',
        })
      })

      test('serves the torrent to others, as nobody in particular and without a right', async () => {
        const digest = await digestOf()
        const { first: tracker } = await program(TRACKER, system.address)
        const torrent = `${FILES}/image.raw.torrent`
        const args = ['--path', `${FILES}/image.raw`, '--output', torrent, '--tracker', tracker]
        const created = await system.run('ironswarm', 'torrent', 'create', ...args)
        expect(created).toMatchObject({ code: 0 })

        expect(await systemctl('start', SEED)).toMatchObject({ code: 0 })
        const { MainPID } = await system.unit(SEED)
        const status = await readFile(system.path(`/proc/${MainPID}/status`), 'utf8')
        expect(status).not.toMatch(/^Uid:.*\t0\t/m)
        expect(status).toMatch(/^CapBnd:\t0+$/m)
        expect(status).toMatch(/^NoNewPrivs:\t1$/m)

        await writeFile(system.path('/tmp/disk.img'), new Uint8Array(16 * MiB))
        // the server refuses every connection: the bytes are the seed's
        const url = `http://${system.address}:9/image.raw`
        const image = ['--url', url, '--sha256', digest, '--torrent', torrent]
        const written = await system.run('ironswarm', 'write', ...image, '--json', '/tmp/disk.img')
        expect(JSON.parse(written.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
          verified: true,
          bytes: { peers: 8 * MiB, origin: 0 },
        })
        // a line on what it does, each 10 s
        await expect
          .poll(() => journal(SEED), { interval: 500 })
          .toMatch(/8\.0 MiB uploaded|up.*8\.0 MiB/)
      })

      test('comes back when it is killed', async () => {
        await mkdir(system.path(`/run/systemd/system/${SEED}.d`), { recursive: true })
        const soon = system.path(`/run/systemd/system/${SEED}.d/soon.conf`)
        await writeFile(soon, '[Service]\nRestartSec=1\n')
        await systemctl('daemon-reload')
        const { MainPID: before } = await system.unit(SEED)
        await systemctl('kill', '--signal=KILL', SEED)
        await expect.poll(async () => (await system.unit(SEED))['NRestarts']).toBe('1')
        await expect.poll(() => state(SEED)).toBe('active')
        expect((await system.unit(SEED))['MainPID']).not.toBe(before)
        await expect.poll(async () => (await journal(SEED)).split('seeding ').length).toBe(3)
      })

      test('ends cleanly when it is stopped', async () => {
        expect(await systemctl('stop', SEED)).toMatchObject({ code: 0 })
        expect(await system.unit(SEED)).toMatchObject({
          ActiveState: 'inactive',
          Result: 'success',
        })
        expect(await journal(SEED)).toMatch(/ended after \d+:\d\d, .* uploaded\n$/)
      })

      test('with flags that are refused says so and stays away', async () => {
        await flags('ironswarm-seed@image.raw', 'SEED_FLAGS=--nonsense\n')
        await systemctl('start', SEED)
        await expect.poll(() => state(SEED)).toBe('failed')
        expect(await system.unit(SEED)).toMatchObject({ ExecMainStatus: '2', Result: 'exit-code' })
        expect(await journal(SEED)).toMatch(/unknown option '--nonsense'.*\n$/)
        await rm(system.path('/etc/default/ironswarm-seed@image.raw'))
        await systemctl('reset-failed')
      })

      test('with a torrent of something else says so and stays away', async () => {
        await writeFile(system.path(`${FILES}/image.raw`), new Uint8Array(MiB))
        await systemctl('start', SEED)
        await expect.poll(() => state(SEED)).toBe('failed')
        expect(await system.unit(SEED)).toMatchObject({ ExecMainStatus: '2', Result: 'exit-code' })
        await systemctl('reset-failed')
      })

      test.each([
        ['is not there', (image: string) => rm(image), /image\.raw: ENOENT/],
        ['may not be read', (image: string) => chmod(image, 0o600), /image\.raw: EACCES/],
      ])('with an image that %s says so and stays away', async (_what, spoil, words) => {
        const image = system.path(`${FILES}/image.raw`)
        await writeFile(image, new Uint8Array(8 * MiB))
        await spoil(image)
        await systemctl('start', SEED)
        await expect.poll(() => state(SEED)).toBe('failed')
        expect(await system.unit(SEED)).toMatchObject({ ExecMainStatus: '2', NRestarts: '0' })
        expect(await journal(SEED)).toMatch(words)
        await systemctl('reset-failed')
      })
    })

    describe('the agent', () => {
      test('without a URL of Ironic waits and says so', async () => {
        expect(await systemctl('start', AGENT)).toMatchObject({ code: 0 })
        await expect.poll(() => journal(AGENT)).toContain('no URL of Ironic is known')
        await expect.poll(() => journal(AGENT)).toContain('"api listening"')
        expect(await systemctl('stop', AGENT)).toMatchObject({ code: 0 })
        expect(await system.unit(AGENT)).toMatchObject({ Result: 'success' })
      })

      test('with one looks its node up and sends heartbeats', async () => {
        const ironic = await program(IRONIC, system.address, system.mac)
        await flags('ironswarm-agent', `AGENT_FLAGS=--api-url http://${system.address}:6385\n`)
        expect(await systemctl('start', AGENT)).toMatchObject({ code: 0 })
        await expect.poll(() => ironic.lines.join('\n')).toMatch(/GET \/v1\/lookup\S* 200/)
        await expect.poll(() => ironic.lines.join('\n')).toMatch(/POST \/v1\/heartbeat\/\S+ 202/)
        expect(await state(AGENT)).toBe('active')
      })

      test('ends cleanly when it is stopped', async () => {
        expect(await systemctl('stop', AGENT)).toMatchObject({ code: 0 })
        expect(await system.unit(AGENT)).toMatchObject({
          ActiveState: 'inactive',
          Result: 'success',
          ExecMainStatus: '0',
        })
        expect(await journal(AGENT)).toContain('"agent ended"')
      })

      test('with settings that are refused says so and stays away', async () => {
        await flags('ironswarm-agent', 'AGENT_FLAGS=--listen-port 999999\n')
        await systemctl('start', AGENT)
        await expect.poll(() => state(AGENT)).toBe('failed')
        expect(await system.unit(AGENT)).toMatchObject({ ExecMainStatus: '2', NRestarts: '0' })
        expect(await journal(AGENT)).toMatch(/option listen_port is "999999".*\n$/)
        await systemctl('reset-failed')
      })

      test('comes back when it ends by itself, but not to a machine that is rescued', async () => {
        await flags('ironswarm-agent', '')
        await mkdir(system.path(`/run/systemd/system/${AGENT}.d`), { recursive: true })
        const soon = system.path(`/run/systemd/system/${AGENT}.d/soon.conf`)
        await writeFile(soon, '[Service]\nRestartSec=1\n')
        await systemctl('daemon-reload')
        await systemctl('start', AGENT)
        await systemctl('kill', AGENT)
        await expect.poll(async () => (await system.unit(AGENT))['NRestarts']).toBe('1')
        await expect.poll(() => state(AGENT)).toBe('active')

        await writeFile(system.path('/etc/.rescued'), '')
        await systemctl('kill', AGENT)
        await expect.poll(() => state(AGENT)).toBe('inactive')
        expect(await system.unit(AGENT)).toMatchObject({ ConditionResult: 'no' })
      })
    })
  },
)
