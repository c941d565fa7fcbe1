import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { MOST_CLIENTS } from '../../../../agent/api/watching/event-clients.ts'
import { torrentNews } from '../../../support/event-lab.ts'
import { type Reader, readEvents, startWatched } from './watching-lab.ts'

const WAIT = { timeout: 60_000 }
const readers: Reader[] = []
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close()
})
async function read(port: number, lastEventId?: string): Promise<Reader> {
  const reader = await readEvents(port, lastEventId)
  readers.push(reader)
  return reader
}

const phase = (name: 'serving' | 'rescued' | 'starting') =>
  ({ type: 'phase', phase: name }) as const

test('who comes first is told the state, then each event with its id and its name', async () => {
  await using api = await startWatched()
  api.events.publish(phase('serving'))
  const reader = await read(api.port)
  expect(reader.response.headers).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
  })
  await expect.poll(() => reader.events().length, WAIT).toBe(1)
  api.events.publish({
    type: 'command',
    commandId: 'c',
    name: 'go',
    status: 'RUNNING',
    error: null,
  })
  await expect.poll(() => reader.events().length, WAIT).toBe(2)
  const [state, command] = reader.events()
  expect(state).toMatchObject({ event: 'state', data: { phase: 'serving', last_id: 1 } })
  expect(command).toMatchObject({ event: 'command', data: { command_id: 'c', id: 2 } })
  expect(command?.id).toMatch(/^\w+-2$/)
})

test('who comes back with the last id is told what was missed, and nothing twice', async () => {
  await using api = await startWatched()
  const first = await read(api.port)
  api.events.publish(phase('starting'))
  await expect.poll(() => first.events().length, WAIT).toBe(2)
  first.close()
  api.events.publish(phase('serving'))
  api.events.publish(phase('rescued'))
  const second = await read(api.port, first.events().at(-1)?.id)
  await expect.poll(() => second.events().length, WAIT).toBe(2)
  expect(second.events().map(({ data }) => data['phase'])).toEqual(['serving', 'rescued'])
})

test.each([
  ['of an earlier process', 'abc-1'],
  ['that is none', 'x'],
  ['of which too much was let go since', 'oldest'],
])('who comes with an id %s is told the state', async (_what, id) => {
  await using api = await startWatched()
  const first = await read(api.port)
  await expect.poll(() => first.events().length, WAIT).toBe(1)
  const oldest = first.events()[0]?.id
  for (let i = 0; i < 600; i++) api.events.publish(phase('serving'))
  const reader = await read(api.port, id === 'oldest' ? oldest : id)
  await expect.poll(() => reader.events().length, WAIT).toBe(1)
  expect(reader.events()[0]).toMatchObject({ event: 'state', data: { last_id: 600 } })
})

test('a reader is told by comments that the stream lives', async () => {
  await using api = await startWatched()
  const reader = await read(api.port)
  await expect.poll(reader.text, WAIT).toContain('\n:\n\n')
})

test('there are so many readers and no more; the place of one that goes is free', async () => {
  await using api = await startWatched()
  const all = await Promise.all(Array.from({ length: MOST_CLIENTS }, () => read(api.port)))
  expect(all.map(({ response }) => response.statusCode)).toEqual(all.map(() => 200))
  const refused = await read(api.port)
  expect(refused.response.statusCode).toBe(429)
  await expect.poll(refused.text, WAIT).toContain('faultstring')
  all[0]?.close()
  await expect.poll(async () => (await read(api.port)).response.statusCode, WAIT).toBe(200)
})

test('one that reads nothing is dropped, and costs the others nothing', async () => {
  await using api = await startWatched()
  const slow = connect(api.port, '127.0.0.1')
  await once(slow, 'connect')
  slow.write('GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n')
  // the head of the answer: it is a reader now
  await once(slow, 'data')
  slow.pause()
  let isClosed = false
  slow.on('close', () => {
    isClosed = true
  })
  const quick = await read(api.port)
  const long = 'x'.repeat(7000)
  const warning = {
    type: 'warning',
    message: 'no',
    fields: Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`text${i}`, long])),
    error: { type: 'SwarmError', code: 500, message: '', details: '' },
    err: {},
  } as const
  await expect
    .poll(
      async () => {
        api.events.publish(warning)
        return await clients(api)
      },
      { timeout: 60_000, interval: 20 },
    )
    .toBe(1)
  expect(quick.isEnded()).toBe(false)
  slow.resume()
  await expect.poll(() => isClosed, WAIT).toBe(true)
})

async function clients(api: { port: number }): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${api.port}/metrics`)
  return Number(/^ipa_event_clients (\d+)$/m.exec(await response.text())?.[1])
}

test('readers do not keep the agent from ending: they are let go', async () => {
  await using api = await startWatched()
  const reader = await read(api.port)
  await api.server.drained(60_000)
  await expect.poll(reader.isEnded, WAIT).toBe(true)
  const another = await read(api.port)
  await api.server.close()
  await expect.poll(another.isEnded, WAIT).toBe(true)
})

test('secrets of what is told are in no event', async () => {
  await using api = await startWatched()
  const reader = await read(api.port)
  api.events.publish({
    type: 'operation',
    state: 'began',
    operation: 'write image',
    fields: {
      url: 'http://user:hunter2secret@h/i?X-Amz-Signature=abcdef0123456789',
      agent_token: 't0k3n',
    },
  })
  await expect.poll(() => reader.events().length, WAIT).toBe(2)
  expect(reader.text()).not.toMatch(/hunter2secret|abcdef0123456789|t0k3n/)
})

test('the swarm is told with peers, pieces, rates and trackers; there is none before it begins', async () => {
  await using api = await startWatched()
  expect((await api.call('GET', '/v1/swarm')).json).toEqual({ torrent: null })
  const tracker = {
    tracker: 'udp://t:6969/announce',
    state: 'failing',
    words: 'no answer within 15 s',
    nodes: null,
    askedSecondsAgo: 16,
    nextInSeconds: 2,
  } as const
  api.events.publish(torrentNews({ trackers: [tracker] }))
  const { json, status } = await api.call('GET', '/swarm')
  expect(status).toBe(200)
  expect(json['torrent']).toMatchObject({
    state: 'fetching',
    pieces: { total: 2, done: 1, map: '+0' },
    rates: { origin: 1, peers: 2, uploaded: 3 },
    trackers: [{ tracker: 'udp://t:6969/announce', asked_seconds_ago: 16, next_in_seconds: 2 }],
    seen_seconds_ago: 3,
  })
})

test('metrics are there unless they are switched off, and only to be read', async () => {
  const path = '/metrics'
  await using api = await startWatched()
  const answer = await fetch(`http://127.0.0.1:${api.port}${path}`)
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await answer.text()).toContain('ipa_build_info{version="1.2.3"} 1\n')
  expect((await api.call('POST', path)).status).toBe(405)
  await using without = await startWatched({ hasMetrics: false })
  expect((await without.call('GET', path)).status).toBe(404)
  expect((await without.call('POST', path)).status).toBe(404)
})
