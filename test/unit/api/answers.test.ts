import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createCommandAnswers } from '../../../agent/api/command-answers.ts'
import { createUnreadAnswers, READ_DEADLINE_MS } from '../../../agent/api/unread-answers.ts'
import type { CommandResult } from '../../../agent/commands/command.ts'
import { sync } from '../../support/agent-in-process.ts'
import { startServer, TOKEN } from './server-lab.ts'

const MiB = 1024 * 1024
const STEP = {
  interface: 'deploy',
  step: 'write_image',
  args: {
    image_info: {
      urls: ['https://glance/v2/image?temp_url_sig=c0ffee&temp_url_expires=1'],
      image_request_authorization: 'c2VjcmV0OnNlY3JldA==',
      image_server_password: 'secret',
      node_uuid: 'x',
    },
    configdrive: 'H4sIsecret',
  },
}
const SECRETS = /secret|c0ffee|c2VjcmV0/
const RESULT = { deploy_result: { result: 'written' }, deploy_step: STEP }

function resultOf(command_result: unknown): CommandResult {
  return {
    id: 'x',
    command_name: 'execute_deploy_step',
    command_status: 'SUCCEEDED',
    command_error: null,
    command_result,
  }
}

describe('the echo of a step', () => {
  test('has no secret for who shows no token, but what conductors compare', async () => {
    await using api = await startServer({}, '127.0.0.1', { 'deploy.echo': sync(() => RESULT) })
    await api.command('deploy.echo')
    const { text, json } = await api.call('GET', '/v1/commands/')
    expect(text).not.toMatch(SECRETS)
    const [command] = json['commands'] as CommandResult[]
    expect(Object.keys({ ...command }).sort()).toEqual(Object.keys(resultOf(null)).sort())
    expect(command?.command_result).toMatchObject({
      deploy_result: { result: 'written' },
      deploy_step: { interface: 'deploy', step: 'write_image' },
    })
    for (const query of ['', '?wait=true']) {
      const one = await api.call('GET', `/v1/commands/${command?.id}${query}`)
      expect(one.json).toEqual(command)
    }
  })

  test('is exact for who shows the token, in the answer of POST and of GET', async () => {
    await using api = await startServer({}, '127.0.0.1', { 'deploy.echo': sync(() => RESULT) })
    const posted = await api.command('deploy.echo')
    expect(posted.json['command_result']).toEqual(RESULT)
    const token = `agent_token=${TOKEN}`
    const { json } = await api.call('GET', `/v1/commands/?${token}`)
    expect(json['commands']).toEqual([posted.json])
    const one = await api.call('GET', `/v1/commands/${posted.json['id']}?wait=true&${token}`)
    expect(one.json).toEqual(posted.json)
  })

  test('is made once for as long as nothing changes', () => {
    const answers = createCommandAnswers()
    const results = [resultOf(RESULT), resultOf(null)]
    for (const isTrusted of [true, false]) {
      const list = answers.list(results, isTrusted)
      expect(answers.list([...results], isTrusted)).toBe(list)
      expect(JSON.parse(String(list)).commands).toHaveLength(2)
      expect(String(list).match(SECRETS) !== null).toBe(isTrusted)
      expect(answers.list(results.slice(1), isTrusted)).not.toBe(list)
    }
    expect(String(answers.list([], true))).toBe('{"commands":[]}')
  })
})

/** Answers every request with a document of `bytes`; `whole` are the requests that were answered to the end. */
async function startAnswering(bytes: number, isTrusted = false) {
  const unread = createUnreadAnswers(() => performance.now())
  const whole: string[] = []
  const server = createServer((request, response) => {
    unread.watch(request, response)
    response.once('finish', () => whole.push(request.url ?? ''))
    response.once('close', () => unread.forget(response))
    const body = unread.body(response, Buffer.alloc(bytes, 'x'), isTrusted)
    if (Buffer.isBuffer(body)) response.end(body)
    else pipeline(body, response, () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    whole,
    [Symbol.asyncDispose]: async () => {
      unread[Symbol.dispose]()
      server.closeAllConnections()
      server.close()
    },
  }
}

async function askAndNotRead(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.pause()
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
  return socket
}

describe('answers that are not read', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  test('come whole to who reads them, however slowly', async () => {
    await using server = await startAnswering(12 * MiB)
    const socket = await askAndNotRead(server.port, '/')
    let bytes = 0
    while (bytes < 12 * MiB) {
      const chunk = socket.read() as Buffer | null
      if (chunk === null) await once(socket, 'readable')
      else bytes += chunk.length
      await delay(1)
    }
    expect(server.whole).toEqual(['/'])
    socket.destroy()
  })

  test.each([
    ['strangers: who has not read for longest is cut off', false],
    ['who knows the token, but not cut off', true],
  ])('are bounded for %s', async (_what, isTrusted) => {
    await using server = await startAnswering(8 * MiB, isTrusted)
    const sockets: Socket[] = []
    for (let i = 0; i < 5; i++) {
      sockets.push(await askAndNotRead(server.port, `/${i}`))
      // what the kernel takes is nobody's to read any more
      await delay(50)
    }
    for (const socket of sockets) socket.resume()
    // the last was answered in full in either case
    await expect.poll(() => server.whole, { timeout: 30_000 }).toContain('/4')
    if (isTrusted) {
      await expect.poll(() => server.whole.length, { timeout: 30_000 }).toBe(5)
    } else {
      await expect.poll(() => sockets[0]?.closed, { timeout: 30_000 }).toBe(true)
      expect(server.whole).not.toContain('/0')
    }
    for (const socket of sockets) socket.destroy()
  })

  test.each([
    ['long', 20 * MiB],
    ['short', 0.06 * MiB],
  ])(
    'end the connection after a deadline where nothing is taken: %s ones',
    async (_what, bytes) => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
      await using server = await startAnswering(bytes, true)
      const socket = await askAndNotRead(server.port, '/')
      const hasEnded = new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)))
      // short answers fill the socket together
      for (let before = -1; server.whole.length > before; ) {
        before = server.whole.length
        socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
        await delay(20)
      }
      await vi.advanceTimersByTimeAsync(2 * READ_DEADLINE_MS)
      socket.resume()
      expect(await hasEnded).toBe(true)
    },
  )

  test('leave alone a request that waits for its command', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    await using api = await startServer()
    const { json } = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    const waiting = api.call('GET', `/v1/commands/${json['id']}?wait=true`)
    await vi.advanceTimersByTimeAsync(10 * READ_DEADLINE_MS)
    api.gate.resolve()
    expect((await waiting).json['command_status']).toBe('SUCCEEDED')
  })

  test('are watched by a timer that ends with them', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    createUnreadAnswers(() => 0)[Symbol.dispose]()
    expect(vi.getTimerCount()).toBe(0)
  })
})
