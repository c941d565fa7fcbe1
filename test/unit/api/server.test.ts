import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { createSelfSignedCertificate } from '../../../agent/ironic/certificate.ts'
import { answerOn, startServer } from './server-lab.ts'

describe('the listening socket', () => {
  test('takes IPv4 and IPv6 when no host is given', async () => {
    await using api = await startServer({}, null)
    expect((await api.call('GET', '/v1/status')).status).toBe(200)
    const six = await fetch(`http://[::1]:${api.port}/v1/status`)
    expect(six.status).toBe(200)
  })

  test('answers what is no HTTP with a fault and ends the connection', async () => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    socket.write('NONSENSE\r\n\r\n')
    const answer = await answerOn(socket)
    expect(answer).toContain('"faultstring":"400 Bad Request')
    await once(socket, 'close')
  })

  test('drained() waits until the answer under way has arrived, and no longer', async () => {
    await using api = await startServer()
    await api.server.drained(60_000)
    const waiting = api.command('standby.gated')
    await expect.poll(() => api.runner.list().length).toBe(1)
    let isDrained = false
    const draining = api.server.drained(60_000).then(() => {
      isDrained = true
    })
    await api.call('GET', '/v1/status')
    expect(isDrained).toBe(false)
    api.gate.resolve()
    await draining
    await api.server.close()
    expect((await waiting).json).toMatchObject({ command_status: 'SUCCEEDED' })
  })

  test('drained() gives up on an answer that does not come', async () => {
    await using api = await startServer()
    const waiting = api.command('standby.gated').catch(() => undefined)
    await expect.poll(() => api.runner.list().length).toBe(1)
    await api.server.drained(10)
    expect(api.runner.list()).toMatchObject([{ command_status: 'RUNNING' }])
    api.gate.resolve()
    await waiting
  })

  test('close() ends connections that wait for a command', async () => {
    await using api = await startServer()
    const waiting = api.command('standby.gated').catch((error: unknown) => error)
    await expect.poll(() => api.runner.list().length).toBe(1)
    await api.server.close()
    expect(await waiting).toBeInstanceOf(Error)
  })

  test('close() ends a connection that never began its TLS handshake', async () => {
    const tls = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    await using api = await startServer({ tls })
    const socket = connect(api.port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    // a request on another connection: the server has certainly accepted the first one
    await api.call('GET', '/v1/status')
    const ended = once(socket, 'close')
    await api.server.close()
    await ended
  })

  test('speaks the suites of TLS 1.2 that it is told, and all of TLS 1.3', async () => {
    const certificate = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    const [told, other] = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384']
    await using api = await startServer({ tls: { ...certificate, cipherSuites: told as string } })
    const suiteOf = async (maxVersion: 'TLSv1.2' | 'TLSv1.3', ciphers: string) => {
      const { cert: ca } = certificate
      const socket = connectTls({ port: api.port, host: '127.0.0.1', ca, maxVersion, ciphers })
      try {
        await once(socket, 'secureConnect')
        return socket.getCipher().name
      } catch {
        return 'refused'
      } finally {
        socket.destroy()
      }
    }
    expect(await suiteOf('TLSv1.2', told as string)).toBe(told)
    expect(await suiteOf('TLSv1.2', other as string)).toBe('refused')
    expect(await suiteOf('TLSv1.3', 'TLS_AES_128_GCM_SHA256')).toBe('TLS_AES_128_GCM_SHA256')
  })

  test('refuses a TLS version below the lowest allowed, and speaks 1.2 where it is', async () => {
    const certificate = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    for (const [minVersion, works] of [
      ['1.2', true],
      ['1.3', false],
    ] as const) {
      await using api = await startServer({ tls: { ...certificate, minVersion } })
      expect((await api.call('GET', '/v1/status')).status).toBe(200)
      const socket = connectTls({
        port: api.port,
        host: '127.0.0.1',
        ca: certificate.cert,
        maxVersion: 'TLSv1.2',
      })
      const outcome = await Promise.race([
        once(socket, 'secureConnect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false)
      expect(outcome).toBe(works)
      socket.destroy()
    }
  })
})
