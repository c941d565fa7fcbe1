import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createIronicClient } from '../../../agent/ironic/client.ts'
import { clientConfig, silentLog } from '../../support/agent-in-process.ts'

describe('the text of an API error', () => {
  test.each([
    ['{"error_message": "{\\"faultstring\\": \\"from text\\"}"}', 'from text'],
    ['{"error_message": {"faultstring": "from object"}}', 'from object'],
    ['{"error_message": {"title": "a title"}}', 'a title'],
    ['{"error_message": "plain"}', 'plain'],
    ['<html>Bad Gateway</html>', '<html>Bad Gateway</html>'],
  ])('of %s', async (body, expected) => {
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/' ? 200 : 400
      response.end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await using client = createIronicClient({ config: clientConfig([url]), log: silentLog })
    expect((await client.lookup({ addresses: ['52:54:00:00:00:01'] })).errorText).toBe(expected)
    server.close()
    server.closeAllConnections()
  })
})
