import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { startAgent } from '../../support/agent-process.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'
import { createFreezingDisks } from '../../support/freezing-disk.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'

const MiB = 1024 * 1024
const canRun = hasLoopDevices('disks that hang') && hasPackages('agent')
const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'

describe.runIf(canRun)('a disk that hangs in a deploy', () => {
  test('fails the deploy with a word on it, and heartbeats go on, then and afterwards', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'ironswarm-hung-'))
    await using disks = await createFreezingDisks(1, 128 * MiB)
    try {
      const image = await makeDiskImage(join(directory, 'image'), { sizeBytes: 64 * MiB })
      await using origin = await createHttpOrigin({ path: image.path })
      origin.faults = { rateBytesPerSecond: 4 * MiB }
      await using ironic = await createFakeIronic({
        nodes: [{ uuid: UUID, mac: MAC }],
        heartbeatTimeout: 6,
      })
      const outcome = ironic.deploy(UUID, {
        imageInfo: {
          urls: [origin.url],
          disk_format: 'raw',
          os_hash_algo: 'sha256',
          os_hash_value: image.sha256,
        },
      })
      await using agent = await startAgent({
        name: 'hung',
        mac: MAC,
        device: disks.paths[0] as string,
        // a name: resolving it takes one of the threads that disks block
        apiUrl: ironic.url.replace('127.0.0.1', 'localhost'),
        directory: join(directory, 'machine'),
        options: { disk_timeout: 15, swarm_mode: 'off' },
      })
      const beats = () =>
        ironic.apiCalls.filter(({ path }) => path.startsWith('/v1/heartbeat')).length
      const doneBytes = async () => {
        const progress = (await ironic.agentStatus(UUID))?.['progress'] as { done?: number }
        return progress?.done ?? 0
      }
      while ((await doneBytes()) < 8 * MiB) await delay(200)
      await disks.freeze()
      const before = beats()
      const { state, error } = await outcome
      expect({ state, error }).toEqual({
        state: 'deploy failed',
        error: expect.stringMatching(/write of \d+ bytes .* has not returned for 15 s.*hangs/),
      })
      expect(beats() - before).toBeGreaterThanOrEqual(2)
      const atEnd = beats()
      while (beats() < atEnd + 2) await delay(200)
      expect(agent.child.exitCode).toBeNull()
      // whoever still waits in the kernel can end with the agent
      await disks.thaw()
    } finally {
      await disks.thaw()
      await rm(directory, { recursive: true, force: true })
    }
  })

  test('does not keep whoever closes it, where others have left something in its page cache', async () => {
    await using disks = await createFreezingDisks(1, 16 * MiB)
    const [device = ''] = disks.paths
    const disk = await openBlockDevice(device, {
      mode: 'write',
      root: createRoot('/'),
      timeoutMs: 3000,
    })
    const fill = ['if=/dev/urandom', `of=${device}`, 'bs=4096', 'count=1', 'conv=notrunc']
    await disks.freeze()
    try {
      // a page as a whole, which nothing is read for; earlier, somebody's sync(2) would have written it out
      await promisify(execFile)('dd', fill)
      await expect(disk[Symbol.asyncDispose]()).rejects.toThrow(
        /closing of .* has not returned for 3 s.*hangs/,
      )
    } finally {
      await disks.thaw()
    }
    await expect.poll(() => openersOf(device)).toEqual([])
  })

  test('leaves threads to resolve a name and send a heartbeat while eight writes hang', async () => {
    await using disks = await createFreezingDisks(2, 16 * MiB)
    const server = createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(202).end())
    })
    await once(server.listen(0, 'localhost'), 'listening')
    const url = `http://localhost:${(server.address() as AddressInfo).port}/v1/heartbeat`
    const script = join(import.meta.dirname, 'hung-writer.ts')
    const child = spawn(process.execPath, [script, url, ...disks.paths], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    })
    const lines: string[] = []
    try {
      for await (const line of createInterface(child.stdout)) {
        lines.push(line)
        if (line === 'open') {
          await disks.freeze()
          child.stdin.end()
        }
        if (line === 'closed') await disks.thaw()
      }
    } finally {
      await disks.thaw()
      child.kill('SIGKILL')
      server.closeAllConnections()
      server.close()
    }
    expect(lines.slice(0, 2)).toEqual(['open', 'heartbeat 202'])
    expect(
      lines.filter((line) => /has not returned for 20 s/.test(line)).length,
    ).toBeGreaterThanOrEqual(8)
    expect(
      lines.filter((line) => line.startsWith('write')).every((line) => /hangs/.test(line)),
    ).toBe(true)
    expect(lines.at(-1)).toBe('closed')
  })
})
