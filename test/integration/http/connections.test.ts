import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { PLAIN_CLIENT } from '../../support/http-lab.ts'

describe('connections', () => {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    response.end('ok')
  })
  let connections = 0
  server.on('connection', () => connections++)
  let url = ''

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  })
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })

  test('one call after the other uses the same connection', async () => {
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    requests.length = connections = 0
    await client.request(url)
    // undici gives a connection back a turn after the answer ended
    await setImmediate()
    await client.request(url)
    expect(connections).toBe(1)
    expect(requests[0]?.headers.connection).toBe('keep-alive')
  })

  test('a last call says so, and the next has a connection of its own', async () => {
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    requests.length = connections = 0
    await client.request(url, { isLast: true })
    await client.request(url, { isLast: true })
    expect(requests.map(({ headers }) => headers.connection)).toEqual(['close', 'close'])
    expect(connections).toBe(2)
  })
})
