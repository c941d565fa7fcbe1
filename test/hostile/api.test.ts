import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeDiskImage } from '../support/disk-image.ts'
import { type AttackedAgent, startAttackedAgent } from '../support/hostile/attacked-agent.ts'
import { type StatusProbe, startStatusProbe } from '../support/hostile/status-probe.ts'
import { createHttpOrigin } from '../support/http-origin.ts'
import { createLoopDevice } from '../support/loop-device.ts'
import { get, idle, pipeline, unread } from './api-attacks.ts'

const MiB = 1024 * 1024
const MOST_BYTES = 256 * MiB
const MOST_STATUS_MS = 100
/** What Ironic was told as heartbeat_timeout, ms. */
const HEARTBEAT_TIMEOUT_MS = 10_000
const ATTACKER = '127.0.0.2'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-attack-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** An image that takes `seconds` to come, a disk for it, an agent. */
async function deployable(seconds: number) {
  await using made = new AsyncDisposableStack()
  const image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 32 * MiB })
  const origin = made.use(
    await createHttpOrigin({
      path: image.path,
      faults: { rateBytesPerSecond: (32 * MiB) / seconds },
    }),
  )
  const disk = made.use(await createLoopDevice({ sizeBytes: 160 * MiB, directory }))
  const agent = made.use(await startAttackedAgent({ device: disk.path }))
  const imageInfo = {
    id: 'image.raw',
    urls: [origin.url],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: image.sha256,
  }
  const ended = made.move()
  return {
    agent,
    imageInfo,
    write: (configdrive: string | null = null) =>
      agent.conductor.command(
        'deploy.execute_deploy_step',
        writeImage(imageInfo, configdrive),
        false,
      ),
    finished: async () => {
      const last = async () => (await agent.conductor.list()).at(-1)
      await expect
        .poll(async () => (await last())?.command_status, { timeout: 90_000, interval: 500 })
        .not.toBe('RUNNING')
      return await last()
    },
    [Symbol.asyncDispose]: () => ended.disposeAsync(),
  }
}

function writeImage(imageInfo: object, configdrive: string | null) {
  const args = { image_info: imageInfo, configdrive }
  return {
    step: { interface: 'deploy', step: 'write_image', args },
    node: { uuid: 'x', instance_info: {}, properties: {}, driver_internal_info: {} },
    ports: [],
    deploy_version: null,
  }
}

async function expectWell(agent: AttackedAgent, probe: StatusProbe): Promise<void> {
  const { agent: status, machine } = await probe.stop()
  const { peakBytes } = await agent.rss()
  const beats = agent.heartbeats()
  const gaps = beats.slice(1).map((at, i) => at - (beats[i] as number))
  console.log(
    `peak ${Math.round(peakBytes / MiB)} MiB, status p50 ${status.p50.toFixed(1)} p99 ${status.p99.toFixed(1)} ms of ${status.count}` +
      ` (${status.failed} failed), bare server p99 ${machine.p99.toFixed(1)} ms, longest gap ${Math.round(Math.max(0, ...gaps))} ms`,
  )
  expect(await agent.isAlive()).toBe(true)
  expect(peakBytes).toBeLessThan(MOST_BYTES)
  expect(status.p99 - machine.p99).toBeLessThan(MOST_STATUS_MS)
  expect(Math.max(0, ...gaps)).toBeLessThan(HEARTBEAT_TIMEOUT_MS)
}

describe('beside a deploy, without a token', () => {
  test('300,000 pipelined requests, most of them waiting for the command, and 256 idle connections harm nothing', async () => {
    await using lab = await deployable(12)
    const { agent } = lab
    const { id } = await lab.write()
    await using idles = await idle(agent, 256, ATTACKER)
    await using probe = await startStatusProbe(agent.url)
    const deadlineMs = 12_000
    const sent = await Promise.all([
      pipeline(agent, get(`/v1/commands/${id}?wait=true`), {
        count: 200_000,
        deadlineMs,
        from: ATTACKER,
      }),
      pipeline(agent, get('/v1/commands/'), { count: 100_000, deadlineMs, from: '127.0.0.3' }),
    ])
    console.log('sent', sent, idles.sockets.filter(({ destroyed }) => !destroyed).length)
    await expectWell(agent, probe)
    expect(await lab.finished()).toMatchObject({ command_status: 'SUCCEEDED' })
  })

  test('200 clients that do not read the list of a deploy with a config drive of 6 MiB', async () => {
    await using lab = await deployable(1)
    const { agent } = lab
    const drive = gzipSync(randomBytes(6 * MiB), { level: 1 }).toString('base64')
    await lab.write(drive)
    expect(await lab.finished()).toMatchObject({ command_status: 'SUCCEEDED' })
    await using probe = await startStatusProbe(agent.url)
    await using clients = await unread(agent, get('/v1/commands/'), 200, ATTACKER)
    console.log('open', clients.sockets.filter(({ destroyed }) => !destroyed).length)
    await expectWell(agent, probe)
  })
})
