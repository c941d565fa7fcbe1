// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { createIronicClient } from '../../../agent/ironic/client.ts'
import { clientConfig, silentLog } from '../../support/agent-in-process.ts'
import { createRawServer } from '../../support/raw-server.ts'

const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const BODY = { callback_url: 'http://192.0.2.7:9999', agent_token: 'secret' }

/** An API that answers everything, and a gateway before it that sends everything on. */
async function behindGateway(status: number, host?: string) {
  const api = await createRawServer(({ line }, socket) => {
    const text = line.startsWith('POST') ? '' : '{"default_version": {"version": "1.82"}}'
    const code = line.startsWith('POST') ? 202 : 200
    socket.end(`HTTP/1.1 ${code} x\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
  }, host)
  const gateway = await createRawServer(({ line }, socket) => {
    const to = `${new URL(api.url).origin}${line.split(' ')[1]}`
    socket.end(`HTTP/1.1 ${status} x\r\nLocation: ${to}\r\nContent-Length: 0\r\n\r\n`)
  })
  const config = clientConfig([new URL(gateway.url).origin])
  const client = createIronicClient({ config, log: silentLog })
  return {
    api,
    client,
    [Symbol.asyncDispose]: async () => {
      for (const part of [client, gateway, api]) await part[Symbol.asyncDispose]()
    },
  }
}

test.each([307, 308])(
  'a heartbeat goes on with its body through a gateway that answers %i',
  async (status) => {
    await using lab = await behindGateway(status)
    expect((await lab.client.heartbeat(UUID, BODY)).status).toBe(202)
    const posted = lab.api.requests.filter(({ line }) => line.startsWith('POST'))
    expect(posted.map(({ line }) => line)).toEqual([`POST /v1/heartbeat/${UUID} HTTP/1.1`])
    expect(JSON.parse(posted[0]?.body ?? '')).toEqual(BODY)
  },
)

test('a token goes in clear to no other host, and the error says what to do', async () => {
  await using lab = await behindGateway(308, '127.0.0.2')
  const heartbeat = lab.client.heartbeat(UUID, BODY)
  await expect(heartbeat).rejects.toMatchObject({ type: 'IronicAPIError' })
  await expect(heartbeat).rejects.toThrow(
    /redirect of a POST to http:\/\/127\.0\.0\.2.*no other host/,
  )
  expect(lab.api.requests.filter(({ line }) => line.startsWith('POST'))).toEqual([])
})
