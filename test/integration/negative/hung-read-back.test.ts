import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createFreezingDisks } from '../../support/freezing-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { createDeployLab, deployTo, MiB } from '../image/deploy-lab.ts'

const canRun = hasLoopDevices('disks that hang') && hasPackages('agent')
/** Seconds; a busy machine takes some for an fsync. */
const DISK_TIMEOUT = 15

const stateOf = (status: string) => /State:\s+(\w)/.exec(readFileSync(status, 'utf8'))?.[1]

/** Threads of this process that sit in the kernel, uninterruptibly. */
function stuckThreads(): number {
  const ids = readdirSync('/proc/self/task')
  return ids.filter((id) => stateOf(`/proc/self/task/${id}/status`) === 'D').length
}

/** A write of another program to a frozen disk. The kernel serves in turn, so that reads hang behind it. */
function startHungWrite(device: string): ChildProcess {
  const args = ['if=/dev/zero', `of=${device}`, 'bs=4096', 'count=1', 'seek=20000', 'oflag=direct']
  const writer = spawn('dd', args, { stdio: 'ignore' })
  while (stateOf(`/proc/${writer.pid}/status`) !== 'D') {
    // until it is in the kernel, nothing else may happen
  }
  return writer
}

describe.runIf(canRun)('a read of the read-back that hangs', () => {
  test.for([
    ['of a deploy that is cancelled', true, /cancelled/],
    ['longer than disk_timeout', false, /reading .* back failed .*no block came for 15 s/],
  ] as const)('%s ends the deploy and is left behind', async ([, isCancelled, words]) => {
    await using lab = await createDeployLab({ imageBytes: 64 * MiB })
    await using disks = await createFreezingDisks(1, 128 * MiB)
    const [device = ''] = disks.paths
    const cancelled = new AbortController()
    const steps = new Set<string>()
    const said: string[] = []
    const hanging = Promise.withResolvers<ChildProcess>()
    const deploy = deployTo(device, lab.imageInfo(), {
      config: { disk_timeout: DISK_TIMEOUT, image_download_connection_timeout: 60 },
      signal: cancelled.signal,
      onLog: (line) => said.push(JSON.parse(line).msg),
      onProgress: ({ step }) => {
        const isFirst = step === 'read-back' && !steps.has(step)
        steps.add(step)
        if (!isFirst) return
        disks.freezeNow()
        hanging.resolve(startHungWrite(device))
      },
    })
    // whatever ends the deploy before its time ends this test too
    deploy.catch(hanging.reject)
    const writer = await hanging.promise
    await expect.poll(stuckThreads).toBeGreaterThan(0)
    if (isCancelled) cancelled.abort(new Error('enough'))
    await expect(deploy).rejects.toThrow(words)
    expect([...steps]).toEqual(['prepare', 'fetch', 'read-back'])
    expect(stuckThreads()).toBeGreaterThan(0)
    expect(said).toContain('erasing after a failed deploy failed, the disk may boot')
    await disks.thaw()
    if (writer.exitCode === null) await once(writer, 'exit')
    // what hung comes back and lets go of the disk
    await expect.poll(stuckThreads, { timeout: 60_000 }).toBe(0)
    await expect.poll(() => openersOf(device), { timeout: 60_000 }).toEqual([])
  })
})
