import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { answerOn, startServer, TOKEN } from './server-lab.ts'

describe('the agent token', () => {
  test.each([
    ['absent', ''],
    ['empty', '&agent_token='],
    ['wrong', `&agent_token=${TOKEN}x`],
    ['given twice', `&agent_token=${TOKEN}&agent_token=${TOKEN}`],
  ])('that is %s makes a POST 401 before its body is read', async (_what, query) => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    // the body never comes: only a server that does not wait for it can answer
    socket.write(
      `POST /v1/commands/?wait=true${query} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n`,
    )
    const answer = await answerOn(socket)
    expect(answer).toMatch(/^HTTP\/1\.1 401 /)
    expect(answer).toContain('"faultstring":"401 Unauthorized: Token invalid."')
    socket.destroy()
  })

  test('is needed on GET from the first GET on that carried it, but never for the documents', async () => {
    await using api = await startServer()
    expect((await api.call('GET', '/v1/commands/')).status).toBe(200)
    expect((await api.call('GET', '/v1/commands/?agent_token=wrong')).status).toBe(401)
    expect((await api.call('GET', '/v1/commands/')).status).toBe(200)
    expect((await api.call('GET', `/v1/commands/?agent_token=${TOKEN}`)).status).toBe(200)
    expect((await api.call('GET', '/v1/commands/')).status).toBe(401)
    expect((await api.call('GET', '/commands/')).status).toBe(401)
    expect((await api.call('GET', '/v1/commands/some-id')).status).toBe(401)
    for (const path of ['/', '/v1/', '/v1/status']) {
      expect((await api.call('GET', path)).status).toBe(200)
    }
  })

  test('is in no line of the request log, nor is any query', async () => {
    const lines: string[] = []
    const log = createLogger({ level: 'trace', destination: { write: (line) => lines.push(line) } })
    await using api = await startServer({ log })
    await api.command('standby.sync')
    await api.call('GET', `/v1/commands/?agent_token=${TOKEN}&secret=1`)
    await expect.poll(() => lines.length).toBe(2)
    expect(lines.join()).not.toMatch(/a-token|secret/)
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      msg: 'request served',
      method: 'POST',
      path: '/v1/commands/',
      status: 200,
      duration_ms: expect.any(Number),
      peer: '127.0.0.1',
    })
  })
})
