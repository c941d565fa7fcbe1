import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIronicClient } from '../../../agent/ironic/client.ts'
import { silentLog } from '../../support/agent-in-process.ts'
import { createTestAuthority } from '../../support/http-certificates.ts'

const CONFIG = {
  ironic_api_version: null,
  global_request_id: null,
  http_request_timeout: 5,
  insecure: true,
  cafile: null,
  certfile: null,
  keyfile: null,
  tls_min_version: '1.2',
} as const

describe("what the answer to the lookup says of TLS holds for Ironic's API from then on", () => {
  const server = { url: '', suites: new Set<string>(), close: () => {} }
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const https = createServer(
      { ...authority.server, maxVersion: 'TLSv1.2' },
      (request, response) => {
        const socket = request.socket as unknown as { getCipher(): { name: string } }
        server.suites.add(socket.getCipher().name)
        response.end('{"default_version": {"version": "1.82"}}')
      },
    )
    await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve))
    server.url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`
    server.close = () => https.close()
  })
  afterAll(() => server.close())

  const clientOf = () =>
    createIronicClient({ config: { ...CONFIG, api_url: [server.url] }, log: silentLog })

  test('a server below the lowest version is asked no more', async () => {
    await using client = clientOf()
    await client.lookup({ addresses: [] })
    await client.useTls({ tls_min_version: '1.3', tls_cipher_suites: null })
    await expect(client.lookup({ addresses: [] })).rejects.toThrow(/TLS failed/)
    expect(await client.answers(server.url)).toBe(false)
  })

  test('only the named suites of TLS 1.2 are offered', async () => {
    await using client = clientOf()
    for (const suite of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305']) {
      server.suites.clear()
      await client.useTls({ tls_min_version: '1.2', tls_cipher_suites: suite })
      await client.lookup({ addresses: [] })
      expect([...server.suites]).toEqual([suite])
    }
  })

  test('suites nobody knows are refused with the name of the option', async () => {
    await using client = clientOf()
    await client.useTls({ tls_min_version: '1.2', tls_cipher_suites: 'NO-SUCH-SUITE' })
    await expect(client.lookup({ addresses: [] })).rejects.toThrow(/tls_cipher_suites/)
  })
})
