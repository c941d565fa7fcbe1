import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../agent/config/load.ts'
import { applyLookupOverrides } from '../../../agent/config/lookup-overrides.ts'
import type { EventPublisher, NewEvent } from '../../../agent/core/events.ts'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createIronicClient } from '../../../agent/ironic/client.ts'
import { type LookupOptions, lookupNode, parseLookup } from '../../../agent/ironic/lookup.ts'
import { clientConfig, silentLog, temporaryDirectory } from '../../support/agent-in-process.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'

const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'
const TOKEN = 'yMKhX_V58h6NirO6xuMiEdkzZs_zEafJYVBbobDwLQs'

/** Looks up with a clock that jumps over every wait and notes it. */
async function lookUp(apiUrls: readonly string[], options: Partial<LookupOptions> = {}) {
  await using directory = await temporaryDirectory()
  await using client = createIronicClient({
    config: clientConfig(apiUrls, { global_request_id: 'req-77' }),
    log: silentLog,
  })
  const waits: number[] = []
  let now = 0
  const wait = async (ms: number) => {
    waits.push(ms)
    now += ms
  }
  const outcome = await lookupNode({
    client,
    tokens: createTokenKeeper({ runDir: directory.path }),
    config: { lookup_timeout: 600, lookup_interval: 1 },
    log: silentLog,
    addresses: () => [MAC, '52:54:00:00:00:99'],
    random: () => 0.5,
    now: () => now,
    wait,
    ...options,
  }).catch((error: unknown) => error as Error)
  return { outcome, waits }
}

function startIronic() {
  return createFakeIronic({ nodes: [{ uuid: UUID, mac: MAC }], fastTrack: true })
}

describe('a lookup', () => {
  test('names all MAC addresses, the version and the request id, and brings node, config and token', async () => {
    await using ironic = await startIronic()
    const { outcome, waits } = await lookUp([ironic.url])
    expect(outcome).toMatchObject({
      nodeUuid: UUID,
      heartbeatTimeoutSeconds: 300,
      token: 'issued',
      overrides: {
        disable_deep_image_inspection: false,
        permitted_image_formats: ['raw', 'qcow2', 'iso'],
        enable_bios_bootloader_install: true,
      },
    })
    expect(waits).toEqual([])
    expect(ironic.apiCalls).toMatchObject([
      { path: '/', requestId: 'req-77' },
      {
        method: 'GET',
        path: '/v1/lookup?addresses=52%3A54%3A00%3A00%3A00%3A01%2C52%3A54%3A00%3A00%3A00%3A99',
        apiVersion: '1.62',
        requestId: 'req-77',
        body: undefined,
      },
    ])
  })

  test('sends node_uuid only where one is known', async () => {
    await using ironic = await startIronic()
    await lookUp([ironic.url], { nodeUuid: UUID })
    expect(ironic.apiCalls.at(-1)?.path).toMatch(new RegExp(`&node_uuid=${UUID}$`))
  })

  test('is repeated after 404, and after 409 with longer and longer waits', async () => {
    await using ironic = await startIronic()
    ironic.failNext('/v1/lookup', 404, 1)
    ironic.failNext('/v1/lookup', 409, 4)
    const { outcome, waits } = await lookUp([ironic.url])
    expect(outcome).toMatchObject({ nodeUuid: UUID })
    // uniform between 1 s and min(2^(n-1), 60) s at its middle, plus 5, 10, 30, 30 s for a lock
    expect(waits).toEqual([1000, 6500, 12_500, 34_500, 38_500])
  })

  test('gives up with LookupNodeError after lookup_timeout, with the last reason', async () => {
    await using ironic = await startIronic()
    ironic.failNext('/v1/lookup', 404, 1000)
    const { outcome, waits } = await lookUp([ironic.url])
    expect(outcome).toMatchObject({ type: 'LookupNodeError' })
    expect((outcome as Error).message).toContain('status 404: Injected by the test')
    expect(waits.reduce((sum, ms) => sum + ms)).toBe(600_000)
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000)
  })

  test('tells of each failure, and of which type it is where that says what to do', async () => {
    await using ironic = await startIronic()
    const told: NewEvent[] = []
    const events: EventPublisher = { publish: (event) => void told.push(event) }
    ironic.failNext('/v1/lookup', 404, 1)
    await lookUp([ironic.url], { events })
    ironic.failNext('/v1/lookup', 500, 1)
    await lookUp([ironic.url], { events })
    await lookUp(['http://127.0.0.1:9'], {
      events,
      config: { lookup_timeout: 1, lookup_interval: 1 },
    })
    const [unknown, found, broken, , absent] = told
    expect(unknown).toMatchObject({ result: 'failed', errorType: 'LookupNodeError' })
    expect(found).toMatchObject({ result: 'answered', reason: null, nextSeconds: null })
    expect(broken).toMatchObject({ result: 'failed', reason: expect.stringContaining('500') })
    expect(broken).not.toHaveProperty('errorType')
    expect(absent).toMatchObject({ result: 'failed', errorType: 'IronicAPIError' })
  })

  test('ends at once when it is stopped', async () => {
    const stop = new AbortController()
    stop.abort(new Error('stopped'))
    const { outcome } = await lookUp(['http://127.0.0.1:9'], { signal: stop.signal })
    expect(outcome).toMatchObject({ message: 'stopped' })
  })

  test('of an agent whose token is lost says so', async () => {
    await using ironic = await startIronic()
    await lookUp([ironic.url])
    expect((await lookUp([ironic.url])).outcome).toMatchObject({ token: 'missing' })
  })

  test.each([null, 'short'])(
    'that is answered with the token %j is asked again: none was handed out',
    async (agent_token) => {
      const nodes = [{ uuid: UUID, mac: MAC }]
      await using ironic = await createFakeIronic({
        nodes,
        fastTrack: true,
        lookupConfig: { agent_token },
      })
      const { outcome, waits } = await lookUp([ironic.url])
      expect(outcome).toMatchObject({
        type: 'LookupNodeError',
        message: expect.stringContaining('the answer has no agent_token of 32 characters'),
      })
      expect(waits.length).toBeGreaterThan(1)
    },
  )
})

describe('several API URLs', () => {
  test('are tried in order, and the one that works comes first from then on', async () => {
    await using ironic = await startIronic()
    await using client = createIronicClient({
      config: clientConfig(['http://127.0.0.1:9/', `${ironic.url}/v1/`]),
      log: silentLog,
    })
    const reply = await client.lookup({ addresses: [MAC] })
    expect(reply.status).toBe(200)
    expect(client.urls()).toEqual([ironic.url, 'http://127.0.0.1:9'])
  })

  test('that all fail are all named in the error', async () => {
    await using client = createIronicClient({
      config: clientConfig(['http://127.0.0.1:9', 'http://127.0.0.1:10']),
      log: silentLog,
    })
    const error = await client.lookup({ addresses: [MAC] }).catch((e: Error) => e)
    expect(error).toMatchObject({ type: 'IronicAPIError' })
    expect(String(error)).toMatch(/127\.0\.0\.1:9.*127\.0\.0\.1:10/)
  })

  test('are refused when one is no http url', () => {
    const config = clientConfig(['ftp://x'])
    expect(() => createIronicClient({ config, log: silentLog })).toThrow(/api_url ftp:\/\/x/)
  })
})

describe('the API version', () => {
  test.each([
    ['{"default_version":{"version":"1.115"}}', '1.62'],
    ['{"default_version":{"version":"1.40"}}', '1.40'],
    ['{"default_version":{"version":"2.0"}}', '1.62'],
    ['{"default_version":{"version":"10.3"}}', '1.62'],
    ['{"default_version":{"version":"1.70.1"}}', '1.62'],
    ['{"default_version":{"version":"0.9"}}', '1.31'],
    ['{"default_version":{"version":"two"}}', '1.31'],
    ['{}', '1.31'],
    ['no json', '1.31'],
  ])('where GET / says %s makes the lookup go out as %s', async (root, expected) => {
    const seen: unknown[] = []
    const server = createServer((request, response) => {
      if (request.url !== '/') seen.push(request.headers['x-openstack-ironic-api-version'])
      response.end(request.url === '/' ? root : '{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await using client = createIronicClient({ config: clientConfig([url]), log: silentLog })
    await client.lookup({ addresses: [MAC] })
    expect(seen).toEqual([expected])
    server.close()
    server.closeAllConnections()
  })

  test.each([
    ['1.50', '1.50'],
    ['2.0', '1.62'],
  ])('is not asked for when it is configured as %s', async (ironic_api_version, sent) => {
    await using ironic = await startIronic()
    const config = clientConfig([ironic.url], { ironic_api_version })
    await using client = createIronicClient({ config, log: silentLog })
    await client.lookup({ addresses: [MAC] })
    expect(ironic.apiCalls.map(({ path, apiVersion }) => [path.slice(0, 10), apiVersion])).toEqual([
      ['/v1/lookup', sent],
    ])
  })

  test('is not guessed while the server behind a gateway is down: no token would be handed out', async () => {
    await using ironic = await startIronic()
    ironic.failNext('/', 503, 1)
    const { outcome } = await lookUp([ironic.url])
    expect(outcome).toMatchObject({ token: 'issued' })
    expect(ironic.apiCalls.map(({ path }) => path.slice(0, 10))).toEqual(['/', '/', '/v1/lookup'])
  })
})

describe('the answer of a lookup', () => {
  const config = { heartbeat_timeout: 300, agent_token: TOKEN }

  test.each([
    ['no object', [], 'the answer is not a JSON object'],
    ['no node', { config }, 'the answer has no node.uuid'],
    ['no config', { node: { uuid: UUID } }, 'the answer has no config.heartbeat_timeout'],
    [
      'a timeout that is text',
      { node: { uuid: UUID }, config: { heartbeat_timeout: '300' } },
      'the answer has no config.heartbeat_timeout',
    ],
  ])('with %s is refused', (_what, json, reason) => {
    expect(parseLookup(json)).toBe(reason)
  })

  test('of a very old API has the timeout at the top', () => {
    const json = { node: { uuid: UUID }, heartbeat_timeout: 240 }
    expect(parseLookup(json)).toMatchObject({ heartbeatTimeoutSeconds: 240 })
  })

  test.each([
    [{ agent_md5_checksum_enable: false }, { md5_enabled: false }],
    [{ disable_deep_image_inspection: null, permitted_image_formats: null }, {}],
    [{ permitted_image_formats: ['raw'] }, { permitted_image_formats: ['raw'] }],
    [{ permitted_image_formats: ['raw', 1] }, {}],
    [{ enable_bios_bootloader_install: false }, {}],
    [{ enable_bios_bootloader_install: true }, { enable_bios_bootloader_install: true }],
    [{ tls_min_version: '1.3', tls_cipher_suites: null }, { tls_min_version: '1.3' }],
    [{ tls_min_version: '1.1', tls_cipher_suites: '' }, {}],
    [{ agent_skip_bmc_detect: true }, { agent_skip_bmc_detect: true }],
    // a conductor that has no metrics sends its defaults
    [{ metrics: { backend: 'noop', prepend_host: true }, metrics_statsd: { statsd_port: 1 } }, {}],
    [
      {
        metrics: { backend: 'statsd', prepend_host: true, prepend_uuid: 1, global_prefix: null },
        metrics_statsd: { statsd_host: 'stats.example', statsd_port: 99999 },
      },
      { metrics_backend: 'statsd', metrics_prepend_host: true, statsd_host: 'stats.example' },
    ],
  ])('with config %j overrides %j', (more, overrides) => {
    const json = { node: { uuid: UUID }, config: { ...config, ...more } }
    expect(parseLookup(json)).toMatchObject({ overrides, agentToken: TOKEN })
    expect((parseLookup(json) as { overrides: object }).overrides).toEqual(overrides)
  })
})

describe('the config in the answer of a newer Ironic', () => {
  const file = join(import.meta.dirname, '../../fixtures/lookup/configs-of-29-35-39.json')
  const recorded = JSON.parse(readFileSync(file, 'utf8')) as Record<string, object>
  const answer = (config: object) => ({ node: { uuid: UUID }, config })
  const common = {
    md5_enabled: true,
    disable_deep_image_inspection: false,
    permitted_image_formats: ['raw', 'gpt', 'qcow2', 'iso'],
  }
  const withContainers = {
    ...common,
    agent_skip_bmc_detect: false,
    allow_arbitrary_containers: false,
    allowed_containers: [],
    container_steps_file: '/etc/ironic-python-agent.d/mysteps.yaml',
    runner: 'podman',
  }

  test.each([
    ['29.0.5', { ...common, enable_bios_bootloader_install: true }],
    [
      '35.0.1',
      {
        ...withContainers,
        enable_bios_bootloader_install: true,
        pull_options: ['--tls-verify=false'],
        run_options: ['--rm', '--network=host', '--tls-verify=false'],
      },
    ],
    [
      '39.0.0',
      {
        ...withContainers,
        tls_min_version: '1.3',
        pull_options: [],
        run_options: ['--rm', '--network=host'],
      },
    ],
  ])('%s overrides what it names and nothing else', (release, overrides) => {
    const facts = parseLookup(answer(recorded[release] as object))
    expect(facts).toMatchObject({ heartbeatTimeoutSeconds: 300, agentToken: TOKEN })
    expect((facts as { overrides: object }).overrides).toEqual(overrides)
  })

  const isTexts = (value: unknown) =>
    Array.isArray(value) && value.every((item) => typeof item === 'string')
  /** What an override may be; what is sent under its name may be anything. */
  const ALLOWED: Readonly<Record<string, (value: unknown) => boolean>> = {
    md5_enabled: (value) => typeof value === 'boolean',
    disable_deep_image_inspection: (value) => typeof value === 'boolean',
    permitted_image_formats: isTexts,
    enable_bios_bootloader_install: (value) => value === true,
    tls_min_version: (value) => value === '1.2' || value === '1.3',
    tls_cipher_suites: (value) => typeof value === 'string' && value !== '',
    agent_skip_bmc_detect: (value) => typeof value === 'boolean',
    allow_arbitrary_containers: (value) => typeof value === 'boolean',
    allowed_containers: isTexts,
    container_steps_file: (value) => typeof value === 'string' && value.startsWith('/'),
    runner: (value) => value === 'podman' || value === 'docker',
    pull_options: isTexts,
    run_options: isTexts,
    metrics_backend: (value) => value === 'statsd',
    metrics_prepend_host: (value) => typeof value === 'boolean',
    metrics_prepend_host_reverse: (value) => typeof value === 'boolean',
    metrics_prepend_uuid: (value) => typeof value === 'boolean',
    metrics_global_prefix: (value) => typeof value === 'string',
    statsd_host: (value) => typeof value === 'string',
    statsd_port: (value) => Number.isInteger(value),
  }

  const known = [...new Set(Object.values(recorded).flatMap(Object.keys))].filter(
    (name) => name !== 'heartbeat_timeout' && name !== 'agent_token',
  )
  const anything = fc.oneof(fc.constant(null), fc.jsonValue())

  test('breaks no lookup, whatever is null in it, of another type, or not known', async () => {
    const loaded = await loadConfig({
      env: {},
      openTree: () => ({ readText: async () => undefined, list: async () => [] }),
    })
    const spoilt = fc.dictionary(fc.oneof(fc.constantFrom(...known), fc.string()), anything, {
      maxKeys: 12,
    })
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(recorded)), spoilt, (base, more) => {
        const fixed = { heartbeat_timeout: 300, agent_token: TOKEN }
        // as it comes over the wire: a key may be __proto__
        const sent = JSON.parse(JSON.stringify({ ...base, ...more, ...fixed }))
        const facts = parseLookup(answer(sent))
        expect(facts).toMatchObject({ nodeUuid: UUID, heartbeatTimeoutSeconds: 300 })
        const { overrides } = facts as { overrides: object }
        for (const [name, value] of Object.entries(overrides)) {
          expect(ALLOWED[name]?.(value), `${name}: ${JSON.stringify(value)}`).toBe(true)
        }
        const { config } = applyLookupOverrides(loaded, { ...overrides })
        expect(Object.keys(config)).toEqual(Object.keys(loaded.config))
      }),
    )
  })

  test.each(known)('%s that is null is as if it were not there', (name) => {
    const base = recorded['39.0.0'] as Record<string, unknown>
    const { [name]: _, ...without } = base
    expect(parseLookup(answer({ ...base, [name]: null }))).toEqual(parseLookup(answer(without)))
  })
})
