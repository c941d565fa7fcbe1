// An agent as a process of its own, and a real UDP socket for the StatsD server that Ironic names.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startAgent } from '../../support/agent-process.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'

const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c123', mac: '52:54:00:00:00:01' }
const MiB = 1024 * 1024

test("the API's calls are timed by ironic-python-agent's names where Ironic wants it", async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-metrics-'))
  const heard: string[] = []
  const server = createSocket('udp4', (message) => heard.push(String(message)))
  try {
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    const device = join(directory, 'disk')
    await writeFile(device, new Uint8Array(MiB))
    await using ironic = await createFakeIronic({
      nodes: [NODE],
      heartbeatTimeout: 10,
      fastTrack: true,
      lookupConfig: {
        metrics: { backend: 'statsd', prepend_uuid: true, global_prefix: 'lab' },
        metrics_statsd: { statsd_host: '127.0.0.1', statsd_port: server.address().port },
      },
    })
    await using agent = await startAgent({
      ...{ name: 'node-1', mac: NODE.mac, device, apiUrl: ironic.url },
      directory: join(directory, 'agent'),
      options: { enable_auto_tls: false },
    })
    const origin = `http://127.0.0.1:${agent.port}/v1`
    const call = (path: string, init?: RequestInit) => fetch(`${origin}${path}`, init)
    await expect
      .poll(async () => (await call('/status').catch(() => undefined))?.status, {
        timeout: 120_000,
      })
      .toBe(200)
    await call('/commands/')
    await call('/commands/none')
    await call('/commands/', { method: 'POST', body: '{}' })
    const names = () => [...new Set(heard.map((line) => line.split(':')[0]))].sort()
    const api = `lab.${NODE.uuid}.ironic_python_agent.api.app`
    // the POST has no token: it is no command
    await expect
      .poll(names, { timeout: 60_000 })
      .toEqual(['get_command', 'get_status', 'list_commands'].map((name) => `${api}.${name}`))
    const token = ironic.nodes.get(NODE.uuid)?.token
    const body = JSON.stringify({ name: 'standby.get_partition_uuids', params: {} })
    await call(`/commands/?agent_token=${token}`, { method: 'POST', body })
    await expect.poll(names, { timeout: 60_000 }).toContain(`${api}.run_command`)
    for (const line of heard) expect(line).toMatch(/:\d+\.\d{3}\|ms$/)
  } finally {
    server.close()
    await rm(directory, { recursive: true, force: true })
  }
})
