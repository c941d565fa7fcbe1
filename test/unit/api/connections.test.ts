import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { type Connections, createConnections } from '../../../agent/api/connections.ts'
import { createSelfSignedCertificate } from '../../../agent/ironic/certificate.ts'
import { answerOn, startServer, TOKEN } from './server-lab.ts'

const STATUS = 'GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n'
const MOST_OF_A_HOST = 32
const soon = { timeout: 30_000, interval: 20 }

/** A connection from another host of loopback. */
async function from(localAddress: string, port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Being reset is an end like any other. */
function closed(socket: Socket): Promise<void> {
  socket.resume()
  return new Promise((resolve) => {
    if (socket.closed) resolve()
    socket.once('close', () => resolve())
  })
}

async function ask(socket: Socket, request = STATUS): Promise<string> {
  socket.write(request)
  return await answerOn(socket)
}

const openOf = (sockets: readonly Socket[]) => sockets.filter(({ closed }) => !closed)

describe('connections', () => {
  test('of one host are bounded: a new one takes the place of the one that was idle for longest', async () => {
    await using api = await startServer()
    const sockets: Socket[] = []
    for (let i = 0; i < MOST_OF_A_HOST; i++) {
      const socket = await from('127.0.0.2', api.port)
      await ask(socket)
      sockets.push(socket)
    }
    // the oldest but one has been idle for longest now
    await ask(sockets[0] as Socket)
    const next = await from('127.0.0.2', api.port)
    expect(await ask(next)).toMatch(/^HTTP\/1.1 200/)
    await expect.poll(() => sockets[1]?.closed, soon).toBe(true)
    expect(openOf(sockets)).toHaveLength(MOST_OF_A_HOST - 1)
    for (const socket of [...sockets, next]) socket.destroy()
  })

  test('of eight hosts that take all there are do not keep a ninth out, nor each other', async () => {
    await using api = await startServer()
    const sockets: Socket[] = []
    for (let i = 0; i < 8 * MOST_OF_A_HOST; i++) {
      const socket = await from(`127.0.0.${10 + (i % 8)}`, api.port)
      sockets.push(socket)
    }
    await ask(sockets.at(-1) as Socket)
    expect((await api.call('GET', '/v1/status')).status).toBe(200)
    await expect.poll(() => openOf(sockets).length, soon).toBe(8 * MOST_OF_A_HOST - 1)
    for (const socket of sockets) socket.destroy()
  })

  test('that wait for a command give way to a new one, but not those that showed the token', async () => {
    await using api = await startServer()
    const { json } = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    const wait = (token = '') =>
      `GET /v1/commands/${json['id']}?wait=true${token} HTTP/1.1\r\nhost: x\r\n\r\n`
    const sockets: Socket[] = []
    const conductor = await from('127.0.0.2', api.port)
    const answer = ask(conductor, wait(`&agent_token=${TOKEN}`))
    // GET is closed to everybody else from here on, so these do not get to wait, but hold their place
    for (let i = 0; i < 2 * MOST_OF_A_HOST; i++) {
      const socket = await from('127.0.0.2', api.port)
      socket.resume()
      socket.write(wait())
      sockets.push(socket)
    }
    await expect.poll(() => openOf(sockets).length, soon).toBe(MOST_OF_A_HOST - 1)
    api.gate.resolve()
    expect(await answer).toContain('SUCCEEDED')
    for (const socket of [...sockets, conductor]) socket.destroy()
  })

  test('that never end their TLS handshake are counted as well', async () => {
    const tls = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    await using api = await startServer({ tls })
    const sockets: Socket[] = []
    for (let i = 0; i < 2 * MOST_OF_A_HOST; i++) sockets.push(await from('127.0.0.1', api.port))
    expect((await api.call('GET', '/v1/status')).status).toBe(200)
    await expect.poll(() => openOf(sockets).length, soon).toBeLessThan(MOST_OF_A_HOST)
    for (const socket of sockets) socket.destroy()
  })
})

describe('connections over IPv6', () => {
  let ports = 0
  /** What the kernel hands over for a client of that address. */
  const arrive = (connections: Connections, address: string) => {
    const socket = new Socket()
    ports += 1
    Object.defineProperties(socket, {
      remoteAddress: { value: address },
      remotePort: { value: ports },
    })
    connections.admit(socket)
    return socket
  }
  const requestOn = (socket: Socket) => ({ socket }) as IncomingMessage
  const neighbour = (index: number) => `fd00:0:0:7::${index.toString(16)}`
  const CONDUCTOR = 'fd00::7:0:0:0:c0'
  const openOnes = (sockets: readonly Socket[]) => sockets.filter(({ destroyed }) => !destroyed)

  test('of one /64 have a share together, in which an address with few keeps them', () => {
    const connections = createConnections()
    const conductor = arrive(connections, CONDUCTOR)
    const sockets = Array.from({ length: 1000 }, () => arrive(connections, neighbour(1)))
    expect(openOnes(sockets)).toHaveLength(MOST_OF_A_HOST - 1)
    expect(conductor.destroyed).toBe(false)
    const next = arrive(connections, CONDUCTOR)
    expect([conductor.destroyed, next.destroyed]).toEqual([false, false])
    expect(openOnes(sockets)).toHaveLength(MOST_OF_A_HOST - 2)
  })

  test('from an address that has shown the token stay whatever comes from addresses beside it', () => {
    const connections = createConnections()
    const conductor = arrive(connections, CONDUCTOR)
    connections.trust(requestOn(conductor))
    // in its handshake: it has shown nothing yet
    const next = arrive(connections, CONDUCTOR)
    const near = Array.from({ length: 5000 }, (_, i) => arrive(connections, neighbour(i)))
    // from everywhere: no network has more than one
    const far = Array.from({ length: 5000 }, (_, i) =>
      arrive(connections, `fd00:${i.toString(16)}:1::1`),
    )
    expect([conductor.destroyed, next.destroyed]).toEqual([false, false])
    expect(openOnes([...near, ...far])).toHaveLength(256 - 2)
    expect(far.at(-1)?.destroyed).toBe(false)
  })

  test('of addresses that showed the token give way to a stranger where there is nobody else', () => {
    const connections = createConnections()
    const conductors = Array.from({ length: 256 }, (_, i) => {
      const socket = arrive(connections, neighbour(i % 16))
      connections.trust(requestOn(socket))
      return socket
    })
    const stranger = arrive(connections, CONDUCTOR)
    expect(stranger.destroyed).toBe(false)
    expect(openOnes(conductors)).toHaveLength(255)
    // those that are busy do not
    for (const socket of openOnes(conductors)) {
      const response = { once: () => undefined } as unknown as ServerResponse
      expect(connections.begin(requestOn(socket), response, () => undefined)).toBe(true)
    }
    const late = arrive(connections, 'fd00::8:0:0:0:1')
    expect([stranger.destroyed, late.destroyed]).toEqual([true, false])
    expect(openOnes(conductors)).toHaveLength(255)
  })
})

describe('pipelined requests', () => {
  test('are answered in their order where there are a few', async () => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes
    })
    socket.write(STATUS + STATUS.replace('/v1/status', '/v1/none') + STATUS)
    const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1])
    await expect.poll(statuses, soon).toEqual(['200', '404', '200'])
    socket.destroy()
  })

  test.each([
    ['a command', '?wait=true'],
    ['nothing', ''],
  ])('end the connection where there are many, waiting for %s', async (_what, query) => {
    await using api = await startServer()
    const { json } = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    const request = `GET /v1/commands/${json['id']}${query} HTTP/1.1\r\nhost: x\r\n\r\n`
    const socket = await from('127.0.0.2', api.port)
    socket.write(request.repeat(1000))
    await closed(socket)
    expect((await api.call('GET', '/v1/status')).status).toBe(200)
    // nothing of them is under way any more: the command is the lab's own
    await api.server.drained(60_000)
  })

  test('over TLS end the connection as well', async () => {
    const tls = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    await using api = await startServer({ tls })
    const socket = connectTls({ port: api.port, host: '127.0.0.1', rejectUnauthorized: false })
    socket.on('error', () => undefined)
    await once(socket, 'secureConnect')
    socket.write(STATUS.repeat(1000))
    await closed(socket)
    await api.server.drained(60_000)
  })
})

describe('requests that are none', () => {
  test.each([
    ['without a Host', 'GET /v1/status HTTP/1.1\r\n\r\n', 400],
    ['a POST without a Host', 'POST /v1/commands/ HTTP/1.1\r\ncontent-length: 0\r\n\r\n', 400],
    ['with an expectation', 'GET / HTTP/1.1\r\nhost: x\r\nexpect: wonders\r\n\r\n', 417],
    ['CONNECT', 'CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n', 405],
    ['a method nobody knows', 'DANCE / HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['a method of others', 'PROPFIND / HTTP/1.1\r\nhost: x\r\n\r\n', 405],
    [
      'a header that is too long',
      `GET / HTTP/1.1\r\nhost: x\r\na: ${'a'.repeat(70_000)}\r\n\r\n`,
      431,
    ],
    [
      'an upgrade',
      'GET /none HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n',
      404,
    ],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      400,
    ],
  ])('are refused with a faultstring: %s', async (_what, request, status) => {
    await using api = await startServer()
    const socket = await from('127.0.0.2', api.port)
    const answer = await ask(socket, request)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
    expect(body).toEqual({ faultcode: 'Client', faultstring: expect.stringMatching(/\w/) })
    socket.destroy()
  })

  test('leave out HTTP/1.0 without a Host: the documents name the address that was asked', async () => {
    await using api = await startServer()
    const socket = await from('127.0.0.2', api.port)
    const answer = await ask(socket, 'GET / HTTP/1.0\r\n\r\n')
    expect(answer).toContain(`http://127.0.0.1:${api.port}/v1/`)
    socket.destroy()
  })
})
