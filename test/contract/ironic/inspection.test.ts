// What the agent posts of its machine (contract 6.3), against the stand-in and servers that misbehave.
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { inspectionUrls, postInspection } from '../../../agent/ironic/inspection.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { clientConfig, silentLog } from '../../support/agent-in-process.ts'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'

const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'
const DATA = { inventory: { interfaces: [{ mac_address: MAC }] }, error: null }
const NOBODY = 'http://127.0.0.1:1/v1/continue'

async function startIronic(): Promise<FakeIronic> {
  const ironic = await createFakeIronic({
    nodes: [{ uuid: UUID, mac: MAC }],
    apiVersion: '1.115',
  })
  ironic.inspect(UUID)
  return ironic
}

/** Posts without waiting between attempts; notes how long it would have waited. */
function post(urls: readonly string[], more: Partial<Parameters<typeof postInspection>[0]> = {}) {
  const waits: number[] = []
  const uuid = postInspection({
    urls,
    data: DATA,
    config: clientConfig([], { global_request_id: 'req-1' }),
    log: silentLog,
    signal: AbortSignal.timeout(60_000),
    wait: async (ms) => void waits.push(ms),
    ...more,
  })
  return { uuid, waits }
}

describe('the URLs of an inspection', () => {
  const nothing = { inspection_callback_url: [], inspection_collectors: [] }
  test.each([
    ['nothing', nothing, []],
    [
      'collectors',
      { ...nothing, inspection_collectors: ['default'] },
      ['http://a:6385/v1/continue_inspection', 'http://b/v1/continue_inspection'],
    ],
    ['a URL', { ...nothing, inspection_callback_url: [NOBODY] }, [NOBODY]],
  ])('with %s', (_what, config, urls) => {
    expect(inspectionUrls(config, ['http://a:6385/', 'http://b/v1'])).toEqual(urls)
  })
})

test.each(['/v1/continue_inspection', '/v1/continue'])(
  '%s is posted to without an API version, and names the node',
  async (path) => {
    await using ironic = await startIronic()
    const { uuid, waits } = post([`${ironic.url}${path}`])
    expect(await uuid).toBe(UUID)
    expect(waits).toEqual([])
    expect(ironic.apiCalls).toMatchObject([
      { method: 'POST', path, apiVersion: null, requestId: 'req-1', body: DATA, status: 202 },
    ])
    expect(ironic.nodes.get(UUID)?.state).toBe('manageable')
  },
)

test('of several URLs the first that answers takes the data', async () => {
  await using ironic = await startIronic()
  const { uuid, waits } = post([NOBODY, `${ironic.url}/v1/continue_inspection`])
  expect(await uuid).toBe(UUID)
  expect(waits).toEqual([])
})

test.each([409, 500, 503])('status %i is tried again, after 5 s at first', async (status) => {
  await using ironic = await startIronic()
  ironic.failNext('/v1/continue', status, 2)
  const { uuid, waits } = post([`${ironic.url}/v1/continue_inspection`])
  expect(await uuid).toBe(UUID)
  expect(waits).toEqual([5000, 5000])
})

test('five attempts are the last, and the error has the words of the server', async () => {
  await using ironic = await startIronic()
  ironic.failNext('/v1/continue', 503, 9)
  const { uuid, waits } = post([`${ironic.url}/v1/continue_inspection`])
  await expect(uuid).rejects.toThrow(/status 503: Injected by the test \(the last of 5 attempts\)/)
  expect(waits).toEqual([5000, 5000, 6000, 12_000])
})

test('nobody who answers is tried five times', async () => {
  const { uuid, waits } = post([NOBODY])
  await expect(uuid).rejects.toThrow(/127\.0\.0\.1:1.*the last of 5 attempts/)
  expect(waits).toHaveLength(4)
})

test.each([
  [
    'a machine that Ironic does not know',
    { inventory: { interfaces: [{ mac_address: '52:54:00:00:00:99' }] } },
    /status 404/,
  ],
  ['a machine without interfaces', { inventory: { interfaces: [] } }, /status 400/],
])('%s is refused, which is not tried again', async (_what, data, words) => {
  await using ironic = await startIronic()
  const { uuid, waits } = post([`${ironic.url}/v1/continue_inspection`], { data })
  await expect(uuid).rejects.toThrow(words)
  expect(waits).toEqual([])
})

test('logs that make the body larger than Ironic takes are left out', async () => {
  await using ironic = await startIronic()
  const data = { ...DATA, logs: 'x'.repeat(17 * 1024 * 1024) }
  const { uuid } = post([`${ironic.url}/v1/continue_inspection`], { data })
  expect(await uuid).toBe(UUID)
  expect(ironic.apiCalls[0]?.body).toEqual(DATA)
})

test.each([
  ['no JSON', 'thanks', undefined],
  ['no uuid', '{}', undefined],
  ['a uuid that is none', '{"uuid": "../../x"}', undefined],
])('an answer with %s names no node', async (_what, answer, uuid) => {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.end(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  await using _ = { [Symbol.asyncDispose]: async () => void server.close() }
  const { port } = server.address() as AddressInfo
  expect(await post([`http://127.0.0.1:${port}/v1/continue`]).uuid).toBe(uuid)
})

test.each([
  ['takes nothing of the body', 512 * 1024, () => undefined],
  [
    'answers in drops',
    0,
    (socket: Socket) => {
      socket.resume()
      const drip = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 50)
      socket.on('close', () => clearInterval(drip))
    },
  ],
])('a server that %s has one deadline for all of it', async (_what, bytes, misbehave) => {
  const server = createTcpServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined)
    misbehave(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  await using _ = { [Symbol.asyncDispose]: async () => void server.close() }
  const { port } = server.address() as AddressInfo
  const said: string[] = []
  const { uuid } = post([`http://127.0.0.1:${port}/v1/continue`], {
    config: clientConfig([], { http_request_timeout: 0.3 }),
    data: { ...DATA, dmi: 'x'.repeat(bytes) },
    log: createLogger({ level: 'warn', destination: { write: (line) => void said.push(line) } }),
    wait: async () => {
      throw new Error('one attempt is enough')
    },
  })
  await expect(uuid).rejects.toThrow('one attempt is enough')
  expect(said.join('')).toMatch(/no answer (within|in time).*inspection not posted/)
})

test('the end of the agent ends the waiting', async () => {
  const ending = new AbortController()
  const { uuid } = post([NOBODY], {
    signal: ending.signal,
    wait: async (_ms, signal) => {
      ending.abort(new Error('the agent ends'))
      signal?.throwIfAborted()
    },
  })
  await expect(uuid).rejects.toThrow('the agent ends')
})
