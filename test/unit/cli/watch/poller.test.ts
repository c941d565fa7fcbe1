import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { startPoller } from '../../../../agent/cli/watch/poller.ts'
import { OPTIONS } from '../../../../agent/config/options.ts'
import { createHttpClient } from '../../../../agent/http/client.ts'

const NODES = 300
/** As many as are asked in one go. */
const AT_ONCE = 128

test('nodes that do not answer keep nobody from being asked', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.statusCode = 500
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const defaults = Object.entries(OPTIONS).map(([name, row]) => [name, row.default])
  await using client = createHttpClient({ config: Object.fromEntries(defaults) })
  const { signal } = new AbortController()
  await using poller = startPoller({
    client,
    signal,
    now: () => performance.now(),
    wallClock: () => 0,
    random: () => 0,
    // due again at once
    intervalMs: 1,
    listens: false,
  })
  poller.watch(
    Array.from({ length: NODES }, (_, i) => ({
      id: `${i}`,
      name: `node-${i}`,
      url: `http://127.0.0.1:${port}/${i}`,
      provision_state: null,
      error: null,
    })),
  )
  await poller.allAsked()
  expect(poller.leftToAsk()).toBe(0)
  // up to the tick that has places left, nobody is asked twice
  const first = asked.slice(0, NODES - AT_ONCE)
  expect(new Set(first).size).toBe(first.length)
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})
