// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createEventLines } from '../../../../agent/cli/watch/event-feed.ts'
import { type Poller, startPoller } from '../../../../agent/cli/watch/poller.ts'
import { OPTIONS } from '../../../../agent/config/options.ts'
import { createHttpClient } from '../../../../agent/http/client.ts'

const patiently = { timeout: 60_000 }

/** An agent: its status counts how often it was asked, and is told then; its stream is what `events` does. */
async function agentWith(
  events: (request: IncomingMessage, response: ServerResponse) => void,
  then: Promise<void> = Promise.resolve(),
) {
  let asked = 0
  const server = createServer((request, response) => {
    if (request.url === '/v1/events') return events(request, response)
    const answer = JSON.stringify({ command: `asked-${++asked}` })
    void then.then(() => response.end(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    node: {
      ...{ id: `${port}`, name: `${port}`, url: `http://127.0.0.1:${port}` },
      ...{ provision_state: null, error: null },
    },
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function watcher() {
  const defaults = Object.entries(OPTIONS).map(([name, row]) => [name, row.default])
  const client = createHttpClient({ config: Object.fromEntries(defaults) })
  const poller = startPoller({
    ...{ client, signal: new AbortController().signal, listens: true, intervalMs: 20 },
    ...{ now: () => performance.now(), wallClock: () => 0, random: () => 0 },
  })
  return {
    watch: (nodes: Parameters<Poller['watch']>[0]) => poller.watch(nodes),
    rows: () => poller.rows(),
    [Symbol.asyncDispose]: async () => {
      await poller[Symbol.asyncDispose]()
      await client[Symbol.asyncDispose]()
    },
  }
}

/** A stream that stays open, and what can be sent on it. */
function streams() {
  const open: ServerResponse[] = []
  const lastEventIds: unknown[] = []
  return {
    open,
    lastEventIds,
    serve: (request: IncomingMessage, response: ServerResponse) => {
      lastEventIds.push(request.headers['last-event-id'])
      open.push(response)
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
      response.write(':\n\n')
    },
  }
}

describe('an agent that tells of what happens', () => {
  test('is asked when something has, and hardly else; one that does not is asked again and again', async () => {
    const { open, serve } = streams()
    await using telling = await agentWith(serve)
    await using silent = await agentWith((_, response) => void response.writeHead(404).end())
    await using watching = watcher()
    watching.watch([telling.node, silent.node])
    await expect.poll(() => open.length, patiently).toBe(1)
    // what was asked before it was listened to is over by then
    await expect.poll(silent.asked, patiently).toBeGreaterThan(20)
    const calm = telling.asked()
    const before = silent.asked()
    await expect.poll(silent.asked, patiently).toBeGreaterThan(before + 20)
    expect(telling.asked()).toBe(calm)
    open[0]?.write('id: b-1\nevent: command\ndata: {}\n\n')
    await expect.poll(telling.asked, patiently).toBe(calm + 1)
    const shown = () => watching.rows().map(({ command }) => command)
    await expect.poll(shown, patiently).toContain(`asked-${calm + 1}`)
  })

  test('is asked at once when its stream ends, and told at the next what was heard last', async () => {
    const { open, lastEventIds, serve } = streams()
    await using agent = await agentWith(serve)
    await using watching = watcher()
    watching.watch([agent.node])
    await expect.poll(() => open.length, patiently).toBe(1)
    const before = agent.asked()
    open[0]?.end('id: b-7\nevent: phase\ndata: {}\n\n')
    await expect.poll(agent.asked, patiently).toBeGreaterThan(before)
    await expect.poll(() => lastEventIds, patiently).toEqual([undefined, 'b-7'])
  })

  test('has too many readers: it is asked now and then', async () => {
    let tries = 0
    await using agent = await agentWith((_, response) => {
      tries++
      response.writeHead(429).end()
    })
    await using watching = watcher()
    watching.watch([agent.node])
    await expect.poll(agent.asked, patiently).toBeGreaterThan(20)
    expect(tries).toBe(1)
  })

  test('is no longer listened to once nobody watches it', async () => {
    const { open, serve } = streams()
    await using agent = await agentWith(serve)
    await using watching = watcher()
    watching.watch([agent.node])
    await expect.poll(() => open.length, patiently).toBe(1)
    watching.watch([])
    await expect.poll(() => open[0]?.closed, patiently).toBe(true)
  })

  test('is not listened to where it answers once nobody watches it', async () => {
    const { open, serve } = streams()
    const answer = Promise.withResolvers<void>()
    await using late = await agentWith(serve, answer.promise)
    await using other = await agentWith((_, response) => void response.writeHead(404).end())
    await using watching = watcher()
    watching.watch([late.node, other.node])
    await expect.poll(late.asked, patiently).toBe(1)
    watching.watch([other.node])
    answer.resolve()
    const before = other.asked()
    await expect.poll(other.asked, patiently).toBeGreaterThan(before + 20)
    expect(open).toEqual([])
  })
})

test('whatever pieces a stream comes in, each event counts once, with its id, and comments do not', () => {
  const text =
    ':\n\nid: a-1\nevent: state\ndata: {"x":"é"}\n\n:\n\nevent: swarm\ndata: 1\ndata: 2\n\nid: a-2\r\ndata: 3\r\n\r\n'
  const bytes = Buffer.from(text)
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const heard: (string | undefined)[] = []
      const take = createEventLines((id) => heard.push(id))
      const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
      at.slice(1).forEach((end, i) => void take(bytes.subarray(at[i], end)))
      expect(heard).toEqual(['a-1', undefined, 'a-2'])
    }),
  )
})

test('a line that never ends is no event, and the next one is', () => {
  const heard: (string | undefined)[] = []
  const take = createEventLines((id) => heard.push(id))
  const line = Buffer.alloc(1 << 20, 0x61)
  for (let i = 0; i < 20; i++) take(line)
  take(Buffer.from('\n\nid: b\ndata: {}\n\n'))
  expect(heard).toEqual(['b'])
})
