import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAgent } from '../../support/agent-process.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'
import { start } from './ironswarm.ts'

const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c124', mac: '52:54:00:00:00:02' }

interface Row {
  id: string
  name: string
  state: string
  percent: number
  answered_at: number | null
  no_answer: string | null
  provision_state: string | null
}

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer)
  await new Promise<void>((done) => server.listen(0, '0.0.0.0', done))
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

const STATUS = JSON.stringify({
  node_uuid: 'u',
  command: 'execute_deploy_step',
  is_seeding: false,
  progress: { step: 'fetch', percent: 42, done: 42, total: 100, bytes: {}, peers: 1 },
})

async function once(argv: string[], env: Record<string, string> = {}) {
  const ended = await start(['watch', '--once', '--json', ...argv], env).finished
  return { ...ended, nodes: (ended.report['nodes'] ?? []) as Row[] }
}

/** Two nodes, and the third behind them; the address of the next page is as a proxy would break it. */
function pageBehind(marker: string | null, node: (i: number) => object): object {
  if (marker !== null) return { nodes: [node(3)] }
  const next = 'http://other.example/v1/nodes?marker=2&fields=driver_internal_info'
  return { nodes: [node(1), node(2)], next }
}

describe('ironswarm watch', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-watch-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  test('sees a real agent over its own TLS, once that is said to be known', async () => {
    const ironic = await createFakeIronic({ nodes: [NODE], heartbeatTimeout: 10, fastTrack: true })
    const device = join(directory, 'disk')
    await writeFile(device, new Uint8Array(1024 * 1024))
    await using agent = await startAgent({
      name: 'node-1',
      mac: NODE.mac,
      device,
      apiUrl: ironic.url,
      directory: join(directory, 'agent'),
    })
    const heartbeat = () =>
      ironic.apiCalls.find(({ path, status }) => path.includes('/heartbeat/') && status === 202)
    await expect.poll(heartbeat, { timeout: 60_000 }).toBeDefined()
    const url = `https://127.0.0.1:${agent.port}`
    const refused = await once([url])
    expect(refused.code).toBe(0)
    expect(refused.nodes).toMatchObject([
      { state: 'no answer', no_answer: expect.stringMatching(/certificate/i), answered_at: null },
    ])
    const seen = await once(['--insecure-agents', url])
    expect(seen.nodes).toMatchObject([{ name: NODE.uuid, state: 'idle', no_answer: null }])
    await ironic[Symbol.asyncDispose]()
  })

  test('asks a thousand agents in one go, and one that never answers holds nobody up', async () => {
    await using agents = await serve((_, response) => response.end(STATUS))
    await using silent = await serve(() => undefined)
    const urls = Array.from({ length: 1000 }, (_, i) => `127.1.${i >> 8}.${i & 255}:${agents.port}`)
    const ended = await once([...urls, `127.0.0.1:${silent.port}`])
    expect(ended.code).toBe(0)
    expect(ended.nodes).toHaveLength(1001)
    const fetching = ended.nodes.filter(({ state, percent }) => state === 'fetch' && percent === 42)
    expect(fetching).toHaveLength(1000)
    expect(ended.nodes.filter(({ state }) => state === 'no answer')).toHaveLength(1)
  })

  describe('with --ironic', () => {
    function ironicOf(agentPort: number, allow: (request: IncomingMessage) => boolean) {
      const node = (i: number) => ({
        uuid: `uuid-${i}`,
        name: i === 3 ? null : `node-${i}`,
        provision_state: i === 2 ? 'available' : 'deploying',
        last_error: null,
        driver_internal_info: i === 2 ? {} : { agent_url: `http://127.2.0.${i}:${agentPort}` },
      })
      return serve((request, response) => {
        const { searchParams, pathname } = new URL(request.url ?? '', 'http://x')
        if (pathname === '/v3/auth/tokens') {
          response.writeHead(201, { 'x-subject-token': 'given' }).end('{}')
          return
        }
        if (!allow(request)) return void response.writeHead(401).end('{}')
        expect(searchParams.get('fields')).toContain('driver_internal_info')
        response.end(JSON.stringify(pageBehind(searchParams.get('marker'), node)))
      })
    }

    test.each([
      ['without any proof', {}, () => true],
      [
        'by OS_TOKEN',
        { OS_TOKEN: 's3cret' },
        ({ headers }) => headers['x-auth-token'] === 's3cret',
      ],
      [
        'by HTTP basic',
        { OS_USERNAME: 'u', OS_PASSWORD: 's3cret' },
        ({ headers }) => headers.authorization === `Basic ${btoa('u:s3cret')}`,
      ],
      [
        'by a token of Keystone',
        { OS_USERNAME: 'u', OS_PASSWORD: 's3cret', OS_AUTH_URL: 'KEYSTONE' },
        ({ headers }) => headers['x-auth-token'] === 'given',
      ],
    ] as [string, Record<string, string>, (request: IncomingMessage) => boolean][])(
      'lists its nodes page by page %s, and asks their agents',
      async (_name, env, allow) => {
        await using agents = await serve((_, response) => response.end(STATUS))
        await using ironic = await ironicOf(agents.port, allow)
        const url = `http://127.0.0.1:${ironic.port}`
        const given = env['OS_AUTH_URL'] ? { ...env, OS_AUTH_URL: url } : env
        const ended = await once(['--ironic', url], given)
        expect(ended.code).toBe(0)
        expect(ended.nodes).toMatchObject([
          { name: 'node-1', state: 'fetch', provision_state: 'deploying', percent: 42 },
          { name: 'node-2', state: 'available', answered_at: null },
          { name: 'uuid-3', state: 'fetch' },
        ])
        expect(ended.stdout + ended.stderr).not.toContain('s3cret')
      },
    )

    test('a refusal ends --once with 1 and says what to set', async () => {
      await using ironic = await ironicOf(1, () => false)
      const ended = await once(['--ironic', `http://127.0.0.1:${ironic.port}`])
      expect(ended.code).toBe(1)
      expect(ended.report).toMatchObject({ error: { type: 'IronicAPIError' } })
      expect(ended.stderr).toContain('set OS_TOKEN')
    })
  })

  test('elsewhere than on a terminal is plain lines, and ends well by Ctrl-C', async () => {
    await using agents = await serve((_, response) => response.end(STATUS))
    const watch = start(['watch', `127.0.0.1:${agents.port}`])
    await watch.says(/ u fetch 42%/)
    watch.child.kill('SIGINT')
    const ended = await watch.finished
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    expect(ended.stdout).not.toContain('\u001B')
  })

  test.each([
    ['nothing', [], 'nothing to watch'],
    ['what is no URL', ['ftp://x'], 'is no agent'],
    ['an Ironic that is none', ['--ironic', 'ironic:6385'], '--ironic is'],
    ['an interval that is none', ['--interval', '0', '127.0.0.1'], '--interval is'],
  ])('refuses %s with 2', async (_name, argv, words) => {
    const ended = await start(['watch', ...argv]).finished
    expect(ended.code).toBe(2)
    expect(ended.stderr).toContain(words)
  })
})
