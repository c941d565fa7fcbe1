import { describe, expect, test } from 'vitest'
import { startServer } from './server-lab.ts'

describe('documents', () => {
  test('/ names the version and links to it under the address that was asked', async () => {
    await using api = await startServer()
    const { status, json } = await api.call('GET', '/')
    expect(status).toBe(200)
    expect(json['versions']).toEqual([json['default_version']])
    expect(json['default_version']).toMatchObject({
      id: 'v1',
      links: [{ href: `http://127.0.0.1:${api.port}/v1/`, rel: 'self' }, { rel: 'describedby' }],
    })
  })

  test('/v1/ lists commands, status and the media type', async () => {
    await using api = await startServer()
    const { json } = await api.call('GET', '/v1/')
    expect(Object.keys(json).sort()).toEqual(['commands', 'id', 'links', 'media_types', 'status'])
    expect(json['media_types']).toEqual([
      {
        base: 'application/json',
        type: 'application/vnd.openstack.ironic-python-agent.v1+json',
      },
    ])
  })

  test.each(['/v1/status', '/status'])('%s is open and carries progress', async (path) => {
    await using api = await startServer()
    const { json, headers } = await api.call('GET', path)
    expect(json).toEqual({
      started_at: 1790000000.25,
      version: '1.2.3',
      progress: { percent: 50 },
    })
    expect(headers['content-type']).toMatch(/^application\/json/)
  })
})

describe('paths and methods', () => {
  test.each([
    ['GET', '/v1', '/v1/'],
    ['GET', '/v1/commands?wait=true', '/v1/commands/?wait=true'],
    ['POST', '/v1/commands?wait=true&agent_token=x', '/v1/commands/?wait=true&agent_token=x'],
    ['POST', '/commands', '/commands/'],
  ])('%s %s is redirected with 308', async (method, path, location) => {
    await using api = await startServer()
    const answer = await api.call(method, path, method === 'POST' ? '{}' : undefined)
    expect(answer.status).toBe(308)
    expect(answer.headers['location']).toBe(location)
  })

  test.each([
    ['DELETE', '/v1/commands/', 'GET, HEAD, POST'],
    ['PUT', '/commands/', 'GET, HEAD, POST'],
    ['POST', '/v1/status', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
    ['PATCH', '/v1/commands/some-id', 'GET, HEAD'],
  ])('%s %s is 405 and says what is allowed', async (method, path, allow) => {
    await using api = await startServer()
    const answer = await api.call(method, path)
    expect(answer.status).toBe(405)
    expect(answer.headers['allow']).toBe(allow)
    expect(answer.json['faultcode']).toBe('Client')
    expect(answer.json['faultstring']).toMatch(/^405 Method Not Allowed: /)
  })

  test.each(['/v1/status/', '/v2/', '/v1/commands/id/x', '/%zz', '/v1/commands/%2e%2e%2f'])(
    'GET %s is a client error with a faultstring',
    async (path) => {
      await using api = await startServer()
      const answer = await api.call('GET', path)
      expect([400, 404]).toContain(answer.status)
      expect(typeof answer.json['faultstring']).toBe('string')
    },
  )

  test.each(['/', '/v1/', '/v1/status', '/v1/commands/', '/status'])(
    'HEAD %s answers like GET, without a body',
    async (path) => {
      await using api = await startServer()
      const answer = await api.call('HEAD', path)
      expect(answer.status).toBe(200)
      expect(answer.text).toBe('')
    },
  )
})
