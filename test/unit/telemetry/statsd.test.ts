// A real UDP socket for the server; what the agent does is sent to it as StatsD servers read it.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openMetrics } from '../../../agent/daemon/metrics.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { openStatsd } from '../../../agent/telemetry/statsd.ts'
import { defaultConfig } from '../../support/config.ts'

const soon = { timeout: 60_000 }
let server: ReturnType<typeof createSocket>
let heard: string[]
let lines: string[]
const log = createLogger({ level: 'warn', destination: { write: (line) => lines.push(line) } })

beforeEach(async () => {
  ;[heard, lines] = [[], []]
  server = createSocket('udp4', (message) => heard.push(String(message)))
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => void server.close())
const port = () => server.address().port

describe('a StatsD server', () => {
  test('is sent how long work took, each time in a datagram, also where it fails', async () => {
    using metrics = openStatsd({ host: '127.0.0.1', port: port(), prefix: ['a', '', 'b'], log })
    expect(await metrics.time('work', async () => 7)).toBe(7)
    await expect(metrics.time('failure', () => Promise.reject(new Error('no')))).rejects.toThrow()
    await expect.poll(() => heard.length, soon).toBe(2)
    expect(heard[0]).toMatch(/^a\.b\.work:\d+\.\d{3}\|ms$/)
    expect(heard[1]).toMatch(/^a\.b\.failure:\d+\.\d{3}\|ms$/)
  })

  test('that has no address costs one line of the log, and no work waits for it', async () => {
    using metrics = openStatsd({ host: 'nowhere.invalid', port: 1, prefix: [], log })
    for (let i = 0; i < 300; i++) expect(await metrics.time('work', async () => i)).toBe(i)
    await expect.poll(() => lines.length, soon).toBe(1)
    expect(await metrics.time('work', async () => 7)).toBe(7)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('metrics are not sent')
  })

  test.each([
    [{}, 'work'],
    [{ metrics_global_prefix: 'rack.4' }, 'rack.4.work'],
    [{ metrics_prepend_host: true }, 'example.node.work'],
    [{ metrics_prepend_host: true, metrics_prepend_host_reverse: false }, 'node.example.work'],
    [
      { metrics_global_prefix: 'x', metrics_prepend_uuid: true, metrics_prepend_host: true },
      'x.1be26c0b.example.node.work',
    ],
  ])('reads names as Ironic has them: %j', async (options, name) => {
    const config = { ...defaultConfig(), statsd_host: '127.0.0.1', statsd_port: port(), ...options }
    const facts = { log, nodeUuid: '1be26c0b', hostname: 'node.example' }
    using metrics = openMetrics({ ...config, metrics_backend: 'statsd' }, facts)
    using nothing = openMetrics({ ...config, metrics_backend: 'noop' }, facts)
    await nothing.time('nothing', async () => undefined)
    await metrics.time('work', async () => undefined)
    await expect.poll(() => heard.length, soon).toBe(1)
    expect(heard[0]?.split(':')[0]).toBe(name)
  })
})
