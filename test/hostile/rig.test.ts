import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { startAttackedAgent } from '../support/hostile/attacked-agent.ts'
import { startLimited } from '../support/hostile/limited-command.ts'
import { createMemoryGroup } from '../support/hostile/memory-group.ts'
import { startStatusProbe } from '../support/hostile/status-probe.ts'

const MiB = 1024 * 1024

describe('the rig of the attacks', () => {
  test('it kills what goes over its limit, and counts that', async () => {
    await using group = await createMemoryGroup(64 * MiB)
    const [command, ...words] = group.words as [string, ...string[]]
    const waste = 'const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1))'
    const { signal } = spawnSync(command, [...words, process.execPath, '-e', waste])
    expect(signal).toBe('SIGKILL')
    expect(await group.oomKills()).toBe(1)
  })

  test('it sees the memory, the heartbeats and the answers of an agent nobody attacks', async () => {
    await using agent = await startAttackedAgent()
    await using probe = await startStatusProbe(agent.url)
    await expect.poll(() => agent.heartbeats().length).toBeGreaterThan(1)
    const { agent: answers, machine } = await probe.stop()
    expect(answers.count).toBeGreaterThan(10)
    expect(answers.failed + machine.failed).toBe(0)
    const { nowBytes, peakBytes } = await agent.rss()
    expect(nowBytes).toBeGreaterThan(32 * MiB)
    expect(peakBytes).toBeGreaterThanOrEqual(nowBytes)
    expect(await agent.isAlive()).toBe(true)
  })

  test('it runs any command of the program within a limit', async () => {
    await using command = await startLimited(['--version'], 384 * MiB)
    expect(await command.finished).toMatchObject({ code: 0, output: expect.stringMatching(/\d/) })
    expect(await command.oomKills()).toBe(0)
  })
})
