// The clock by real chronyd on both sides of a cable; setting it is shown in a machine (test/e2e/vm).
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type AgentProcess, startAgent } from '../../support/agent-process.ts'
import { hasPackages } from '../../support/packages.ts'
import { stopChild } from '../../support/processes.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine } from '../swarm/namespaces.ts'
import { startOn } from './switch.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-clock-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** A server that answers from this machine's own clock and leaves it as it is. */
function startServer(machine: LabMachine) {
  const directives = [
    ...['local stratum 3', 'allow all', 'cmdport 0', 'bindcmdaddress /'],
    `pidfile ${join(directory, 'server.pid')}`,
  ]
  const child = startOn(machine, ['chronyd', '-x', '-d', '-u', 'root', ...directives])
  return { [Symbol.asyncDispose]: () => stopChild(child) }
}

/** Long since nowhere: only what comes before the first call to Ironic matters. */
const NO_IRONIC = 'http://192.0.2.1:6385'

async function agentWith(on: readonly string[], options: Record<string, string | boolean>) {
  const disk = join(directory, 'disk')
  await writeFile(disk, '')
  return await startAgent({
    ...{ name: 'node-1', mac: '52:54:00:00:00:01', device: disk, apiUrl: NO_IRONIC, on, options },
    directory: join(directory, 'agent'),
  })
}

const SOON = { timeout: 45_000, interval: 200 }

/** Throws while there is none. */
async function lineOf(agent: AgentProcess, words: string): Promise<string> {
  const lines = (await agent.log()).split('\n').slice(0, -1)
  const found = lines.find((line) => line.includes(words))
  if (found === undefined) throw new Error(`no line says ${words}: ${lines.join('\n')}`)
  return found
}

describe.runIf(canMakeNetworks() && hasPackages('clock'))('ironswarm run', () => {
  test.each([false, true])('asks the NTP server at its start (IPv6: %s)', async (isIpv6) => {
    await using network = createLabNetwork(2, { isIpv6 })
    const [server, node] = network.machines as [LabMachine, LabMachine]
    await using _server = startServer(server)
    await using agent = await agentWith(node.on, { ntp_server: server.address })
    const line = await vi.waitFor(async () => await lineOf(agent, 'clock compared'), SOON)
    expect(JSON.parse(line)).toMatchObject({
      ...{ server: server.address, program: 'chronyd', offset_s: expect.any(Number) },
    })
  })

  test('ends with an error where the clock must be set and no server answers', async () => {
    const program = join(directory, 'chronyd')
    await writeFile(program, '#!/bin/sh\necho "Timeout reached" >&2\nexit 1\n')
    await chmod(program, 0o755)
    const path = `PATH=${directory}:${process.env['PATH']}`
    const options = { ntp_server: 'ntp.invalid', fail_if_clock_not_set: true }
    await using agent = await agentWith(['env', path], options)
    expect(await agent.exited).toBe(1)
    expect(await agent.log()).toContain('ClockSyncError')
    expect(await agent.log()).toContain('Timeout reached')
  })
})
