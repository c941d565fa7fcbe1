import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { answerOn, POST, startServer, TOKEN } from './server-lab.ts'

describe('POST of a command', () => {
  test('without the prefix v1 does the same', async () => {
    await using api = await startServer()
    const answer = await api.command('standby.sync', `/commands/?agent_token=${TOKEN}`)
    expect(answer.json).toMatchObject({ command_name: 'sync', command_status: 'SUCCEEDED' })
  })

  test.each([
    ['no content type', {}],
    ['text/plain', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['what is no media type', { 'content-type': 'nonsense' }],
  ])('is read as JSON with %s', async (_what, headers) => {
    await using api = await startServer()
    const body = JSON.stringify({ name: 'standby.sync', params: {} })
    const answer = await api.call('POST', POST, body, headers)
    expect(answer.json).toMatchObject({ command_status: 'SUCCEEDED' })
  })

  test.each([
    ['nothing', undefined, /^400 Bad Request: Failed to decode JSON object: /],
    ['no JSON', '{"name": "secret-text', /^400 Bad Request: Failed to decode JSON object: /],
    ['no JSON either', '{"name": secret-text}', /^400 Bad Request: Failed to decode JSON object: /],
    ['a list', '[]', /^400 Bad Request: Missing or invalid name or params$/],
    ['null', 'null', /^400 Bad Request: Missing or invalid name or params$/],
    ['no params', '{"name":"a.b"}', /^400 Bad Request: Missing or invalid name or params$/],
    ['params as a list', '{"name":"a.b","params":[]}', /Missing or invalid name or params$/],
    ['a name that is a number', '{"name":1,"params":{}}', /Missing or invalid name or params$/],
    [
      'a name without a dot',
      '{"name":"sync","params":{}}',
      /^Invalid command: Command name must be of the form <extension>\.<name>$/,
    ],
    [
      'an unknown command',
      '{"name":"standby.dance","params":{}}',
      /^Invalid command: Unknown command: dance$/,
    ],
    [
      'a name of Object.prototype',
      '{"name":"standby.constructor","params":{}}',
      /^Invalid command: Unknown command: constructor$/,
    ],
    [
      'parameters the command refuses',
      '{"name":"log.refuse","params":{}}',
      /^Invalid command parameters: urls must not be empty$/,
    ],
  ])('with %s is refused with 400 and leaves no result', async (_what, body, text) => {
    await using api = await startServer()
    const answer = await api.call('POST', POST, body)
    expect(answer.status).toBe(400)
    expect(answer.json['faultcode']).toBe('Client')
    expect(answer.json['faultstring']).toMatch(text)
    expect(answer.text).not.toContain('secret-text')
    expect(api.runner.list()).toEqual([])
  })

  test('of an unknown extension is 404', async () => {
    await using api = await startServer()
    const answer = await api.command('iscsi.start')
    expect(answer.status).toBe(404)
    expect(answer.json['faultstring']).toBe('Not found: Extension with id iscsi not found.')
  })

  test('that fails answers 200 with the error in the result', async () => {
    await using api = await startServer()
    const answer = await api.command('log.fail')
    expect(answer.status).toBe(200)
    expect(answer.json).toEqual({
      id: expect.any(String),
      command_name: 'fail',
      command_status: 'FAILED',
      command_error: {
        type: 'DeviceNotFound',
        code: 404,
        message: 'Error finding the disk or partition device',
        details: 'no disk of 4 GiB or more',
      },
      command_result: null,
    })
  })

  test('waits for the end with wait=TRUE and answers RUNNING without', async () => {
    await using api = await startServer()
    const waited = await api.command('standby.text', `/v1/commands/?wait=TRUE&agent_token=${TOKEN}`)
    expect(waited.json['command_result']).toEqual({ result: 'text: written' })
    const started = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    expect(started.json['command_status']).toBe('RUNNING')
  })

  test('while another runs is 409, which the conductor knows as busy', async () => {
    await using api = await startServer()
    await api.command('standby.gated', `/v1/commands/?wait=false&agent_token=${TOKEN}`)
    const answer = await api.command('log.collect_system_logs')
    expect(answer.status).toBe(409)
    expect(answer.json['faultstring']).toBe('Agent is busy: executing command gated')
  })

  test('larger than the limit is refused by its length', async () => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    socket.write(`POST ${POST} HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n`)
    const answer = await answerOn(socket)
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer).toContain('"faultstring":"')
    socket.destroy()
  })
})

describe('GET of results', () => {
  test('shows one by its id, and waits for it with wait=true', async () => {
    await using api = await startServer()
    const { json } = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    const path = `/v1/commands/${json['id']}`
    expect((await api.call('GET', path)).json['command_status']).toBe('RUNNING')
    const waiting = api.call('GET', `${path}?wait=true`)
    api.gate.resolve()
    expect((await waiting).json['command_status']).toBe('SUCCEEDED')
  })

  test('of an unknown id is 404', async () => {
    await using api = await startServer()
    const answer = await api.call('GET', '/v1/commands/17')
    expect(answer.status).toBe(404)
    expect(answer.json['faultstring']).toBe('Not found: Command Result with id 17 not found.')
  })
})
