// Trackers of every kind, on real sockets: what they answer, when they do not, and what they are told.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrackerAnswer } from '../../../agent/sources/swarm/announce/announcement.ts'
import type { TrackerNews } from '../../../agent/sources/swarm/announce/tracker.ts'
import {
  startTrackers,
  type TrackersOptions,
} from '../../../agent/sources/swarm/announce/trackers.ts'
import { createTestAuthority, type TestAuthority } from '../../support/http-certificates.ts'
import { freePort } from '../../support/processes.ts'
import { keepUntilEnd } from '../../support/resources.ts'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, startServer, TLS, torrentOf, until } from './lab.ts'

const keep = keepUntilEnd()
const { node, startTracker } = keptSwarm()

const INFO_HASH = 'ab'.repeat(20)
const PEER_ID = Buffer.from('-IS0001-abcdefghijkl').toString('hex')
const ANSWER = 'd8:completei1e10:incompletei2e5:peers6:\x7f\0\0\x01\x1a\xe1e'

/** Trackers of these urls, and all that is heard of them. */
function announceTo(urls: string[], http: Partial<TrackersOptions['http']> = {}) {
  const answers: TrackerAnswer[] = []
  const news: TrackerNews[] = []
  const remarks: string[] = []
  const trackers = startTrackers({
    urls,
    http: { ...TLS, ...http },
    infoHash: INFO_HASH,
    peerId: PEER_ID,
    port: 6881,
    figures: () => ({ uploaded: 1, downloaded: 2, left: 3 }),
    onAnswer: (answer) => answers.push(answer),
    onNews: (each) => news.push(each),
    onRemark: (tracker, words) => remarks.push(`${tracker} ${words}`),
    now: () => performance.now(),
  })
  keep({ [Symbol.asyncDispose]: () => trackers.close(100) })
  return { trackers, answers, news, remarks }
}

async function listening(server: Server, scheme: 'http' | 'https'): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  keep({
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const serve = (onRequest: RequestListener) => listening(createServer(onRequest), 'http')

/** What was asked, as the server of a tracker reads it. */
async function recorded(answer = ANSWER) {
  const asked: string[] = []
  const base = await serve((request, response) => {
    asked.push(request.url ?? '')
    response.end(Buffer.from(answer, 'latin1'))
  })
  return { base, asked }
}

describe('over HTTP', () => {
  test('a tracker is told who asks for what, behind the query that it knows us by', async () => {
    const { base, asked } = await recorded()
    const { answers } = announceTo([`${base}/announce?passkey=p#x`])
    await until(() => answers.length === 1, 'the answer')
    expect(asked).toEqual([
      `/announce?passkey=p&info_hash=${'%AB'.repeat(20)}&peer_id=-IS0001-abcdefghijkl&port=6881` +
        '&uploaded=1&downloaded=2&left=3&compact=1&numwant=200&event=started',
    ])
    expect(answers).toMatchObject([{ peers: ['127.0.0.1:6881'], nodes: 3 }])
  })

  test('started is said until it was heard, completed once, stopped at the end', async () => {
    let isUp = false
    const asked: string[] = []
    const base = await serve((request, response) => {
      asked.push(new URL(request.url ?? '', 'http://h').searchParams.get('event') ?? 'none')
      response.writeHead(isUp ? 200 : 503).end(Buffer.from(ANSWER, 'latin1'))
    })
    const { trackers, news, answers } = announceTo([`${base}/announce`])
    await until(() => news.length === 1, 'the failure')
    trackers.complete()
    isUp = true
    for (let count = 1; count <= 3; count++) {
      trackers.targets[0]?.announce()
      await until(() => answers.length === count, `answer ${count}`)
    }
    await trackers.close(1000)
    expect(asked).toEqual(['started', 'started', 'completed', 'none', 'stopped'])
    expect(news).toMatchObject([{ state: 'failing', words: 'status 503' }, { state: 'answering' }])
  })

  test('a redirect is followed, and a tracker id is sent along from then on', async () => {
    const asked: string[] = []
    const base = await serve((request, response) => {
      asked.push(request.url ?? '')
      if (request.url?.startsWith('/r')) response.end('d10:tracker id3:a&be')
      else response.writeHead(307, { location: `/r${request.url}` }).end()
    })
    const { trackers, answers } = announceTo([`${base}/announce`])
    await until(() => answers.length === 1, 'the answer')
    trackers.targets[0]?.announce()
    await until(() => answers.length === 2, 'the second answer')
    expect(asked.at(-1)).toMatch(/^\/r\/announce\?.*&trackerid=a%26b$/)
  })

  test('an answer without an end is not taken into memory', async () => {
    let sentBytes = 0
    const base = await serve((_request, response) => {
      const part = Buffer.alloc(64 * 1024, 'd')
      const pour = () => {
        while (!response.destroyed && response.write(part)) sentBytes += part.length
      }
      response.on('drain', pour)
      response.on('error', () => undefined)
      pour()
    })
    const { news } = announceTo([`${base}/announce`])
    await until(() => news.length === 1, 'the failure')
    expect(news).toMatchObject([{ state: 'failing', words: 'the answer exceeds 524288 bytes' }])
    // what lies in the buffers of two sockets comes on top
    expect(sentBytes).toBeLessThan(64 * MiB)
  })

  test('a tracker that says no is quoted, without the secrets of its url', async () => {
    const { base } = await recorded('d14:failure reason32:passkey 0123456789abcdef unknowne')
    const { news } = announceTo([`${base}/0123456789abcdef/announce`])
    await until(() => news.length === 1, 'the failure')
    expect(news).toEqual([
      { tracker: `${base}/***/announce`, state: 'failing', words: 'refused: passkey *** unknown' },
    ])
  })

  test('a tracker that warns is quoted once', async () => {
    const { base } = await recorded('d15:warning message8:too muche')
    const { trackers, answers, remarks } = announceTo([`${base}/announce`])
    await until(() => answers.length === 1, 'the answer')
    trackers.targets[0]?.announce()
    await until(() => answers.length === 2, 'the second answer')
    expect(remarks).toEqual([`${base}/announce too much`])
  })
})

const FAILURES: Record<string, [() => Promise<string>, RegExp]> = {
  'refuses the connection': [
    async () => `http://127.0.0.1:${await freePort()}/announce`,
    /^no connection \(connect ECONNREFUSED/,
  ],
  'breaks off': [
    async () => {
      const head = 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nd8:int'
      const server = keep(await startServer((s) => s.once('data', () => s.end(head))))
      return `http://127.0.0.1:${server.port}/announce`
    },
    /ended|broke/,
  ],
  'has its scheme in capitals, and answers a page,': [
    async () => (await serve((_, response) => response.end('<p>'))).replace('http', 'HTTP'),
    /^no answer of a tracker: <p>/,
  ],
  'speaks no HTTP': [
    async () => {
      const server = keep(await startServer((s) => s.once('data', () => s.end('220 hi\r\n'))))
      return `http://127.0.0.1:${server.port}/announce`
    },
    /does not match the HTTP/,
  ],
  'is of a name that nobody has': [async () => 'http://tracker.invalid/announce', /ENOTFOUND|EAI/],
  'is of a name that nobody has, over UDP': [
    async () => 'udp://tracker.invalid:1',
    /ENOTFOUND|EAI/,
  ],
  'has nobody at its UDP port': [async () => 'udp://127.0.0.1:9', /ECONNREFUSED/],
}

test.each(Object.entries(FAILURES))(
  'a tracker that %s is told of with what went wrong, and is not busy afterwards',
  async (_name, [open, words]) => {
    const { trackers, news } = announceTo([await open()])
    const [target] = trackers.targets
    expect(target?.isBusy).toBe(true)
    await until(() => news.length === 1, 'the failure')
    expect(news[0]).toMatchObject({ state: 'failing', words: expect.stringMatching(words) })
    expect(target?.isBusy).toBe(false)
    target?.announce()
    expect(target?.isBusy).toBe(true)
    await until(() => target?.isBusy === false, 'the end of the next request')
    expect(news).toHaveLength(1)
  },
)

test('a tracker that never answers is given up after 15 s, over HTTP and over UDP', async () => {
  const mute = keep(await startServer(() => undefined))
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const asked: number[] = []
  socket.on('message', () => asked.push(performance.now()))
  const { trackers, news } = announceTo([
    `http://127.0.0.1:${mute.port}/announce`,
    `udp://127.0.0.1:${socket.address().port}`,
  ])
  await until(() => news.length === 2, 'the end of both')
  expect(news.map(({ words }) => words)).toEqual(['no answer within 15 s', 'no answer within 15 s'])
  expect(trackers.targets.some(({ isBusy }) => isBusy)).toBe(false)
  // at once, after 1 s, 3 s, 7 s; the next is due in the moment in which it is given up, and either may come first
  expect([4, 5]).toContain(asked.length)
  socket.close()
})

describe('over TLS', () => {
  let authority: TestAuthority
  let cafile: string
  let folder: string
  let base: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-trackers-'))
    authority = await createTestAuthority()
    cafile = join(folder, 'ca.pem')
    await writeFile(cafile, authority.ca)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  const open = async () => {
    const answer: RequestListener = (_, response) => response.end(Buffer.from(ANSWER, 'latin1'))
    base = await listening(createTlsServer(authority.server, answer), 'https')
  }

  test.each([
    ['cafile', () => ({ cafile })],
    ['insecure', () => ({ insecure: true })],
  ])('a tracker of a private authority answers with %s', async (_name, settings) => {
    await open()
    const { answers } = announceTo([`${base}/announce`], settings())
    await until(() => answers.length === 1, 'the answer')
  })

  test('without them it is told of', async () => {
    await open()
    const { news } = announceTo([`${base}/announce`])
    await until(() => news.length === 1, 'the failure')
    expect(news[0]?.words).toMatch(/^TLS failed/)
  })
})

describe('over UDP', () => {
  const bind = async (
    type: 'udp4' | 'udp6',
    onMessage: (socket: UdpSocket, message: Buffer, port: number, address: string) => void,
  ) => {
    const socket = createSocket(type)
    socket.on('message', (message, from) => onMessage(socket, message, from.port, from.address))
    const host = type === 'udp4' ? '127.0.0.1' : '::1'
    await new Promise<void>((resolve) => socket.bind(0, host, resolve))
    keep({ [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(resolve)) })
    return `udp://${type === 'udp4' ? host : '[::1]'}:${socket.address().port}/announce`
  }
  /** BEP 15's answer to a message. */
  const answerTo = (message: Buffer, peers: Buffer) => {
    const isConnect = message.length === 16
    const answer = Buffer.concat([
      Buffer.alloc(isConnect ? 16 : 20),
      isConnect ? Buffer.alloc(0) : peers,
    ])
    answer.writeUInt32BE(isConnect ? 0 : 1, 0)
    message.copy(answer, 4, 12, 16)
    if (isConnect) answer.writeBigUInt64BE(42n, 8)
    else answer.writeUInt32BE(5, 12)
    return answer
  }

  test('a tracker is told what BEP 15 says, and lost datagrams are sent again', async () => {
    const seen: Buffer[] = []
    const url = await bind('udp4', (socket, message, port, address) => {
      seen.push(Buffer.from(message))
      // the first of each kind is lost
      if (seen.filter(({ length }) => length === message.length).length === 1) return
      socket.send(answerTo(message, Buffer.from([127, 0, 0, 1, 26, 225, 9])), port, address)
    })
    const { answers } = announceTo([url])
    await until(() => answers.length === 1, 'the answer')
    expect(answers).toMatchObject([{ peers: ['127.0.0.1:6881'], nodes: 5 }])
    const announce = seen.at(-1) as Buffer
    expect(announce.readBigUInt64BE(0)).toBe(42n)
    expect(announce.subarray(16, 36).toString('hex')).toBe(INFO_HASH)
    expect(announce.subarray(36, 56).toString('hex')).toBe(PEER_ID)
    const figures = [56, 64, 72].map((at) => Number(announce.readBigUInt64BE(at)))
    expect(figures).toEqual([2, 3, 1])
    expect([
      announce.readUInt32BE(80),
      announce.readUInt32BE(92),
      announce.readUInt16BE(96),
    ]).toEqual([2, 200, 6881])
  })

  test('a tracker of IPv6 gives addresses of IPv6', async () => {
    const peer = Buffer.concat([Buffer.alloc(15), Buffer.from([1, 26, 225])])
    const url = await bind('udp6', (socket, message, port, address) =>
      socket.send(answerTo(message, peer), port, address),
    )
    const { answers } = announceTo([url])
    await until(() => answers.length === 1, 'the answer')
    expect(answers[0]?.peers).toEqual(['[::1]:6881'])
  })

  test('answers to other questions are passed over, and a refusal is quoted', async () => {
    const url = await bind('udp4', (socket, message, port, address) => {
      socket.send(Buffer.alloc(3), port, address)
      socket.send(Buffer.alloc(100, 1), port, address)
      const refusal = Buffer.concat([Buffer.alloc(8), Buffer.from('not on the list\0')])
      refusal.writeUInt32BE(3, 0)
      message.copy(refusal, 4, 12, 16)
      socket.send(refusal, port, address)
    })
    const { news } = announceTo([url])
    await until(() => news.length === 1, 'the refusal')
    expect(news[0]?.words).toBe('refused: not on the list')
  })
})

const INTERVALS = ['i-1e', 'i0e', 'i1000000000000000e', 'iNaNe', '4:1800', 'le']

test('however often trackers want to be asked, a node asks at its own pace', async () => {
  const { metainfo } = await torrentOf(imageBytes(200_000))
  const counts = INTERVALS.map(() => 0)
  const trackers = await Promise.all(
    INTERVALS.map(async (interval, at) => {
      const body = `d8:interval${interval}12:min interval${interval}5:peers0:e`
      const base = await serve((_, response) => {
        counts[at] = (counts[at] ?? 0) + 1
        response.end(body)
      })
      return `${base}/announce`
    }),
  )
  const alone = node({ metainfo, trackers, limits: { stallTimeoutMs: 60_000 } })
  await until(() => counts.every((count) => count >= 3), 'three announces to each')
  expect(Math.max(...counts)).toBeLessThan(3 * 4)
  await alone.source[Symbol.asyncDispose]()
})

test('a torrent whose name is not UTF-8, and whose keys are unsorted, is served and fetched', async () => {
  const image = imageBytes(MiB)
  const { metainfo: sound } = await torrentOf(image)
  const { parseMetainfo } = await import('../../../agent/sources/swarm/torrent/metainfo.ts')
  const name = Buffer.from(sound.info).indexOf('image.raw')
  const info = Buffer.from(sound.info)
  info.fill(0xff, name, name + 4)
  const odd = Buffer.concat([
    Buffer.from('d4:info'),
    Buffer.from('d7:privatei0e'),
    info.subarray(1),
    Buffer.from('e'),
  ])
  const metainfo = parseMetainfo(odd)
  const tracker = await startTracker()
  node({ metainfo, trackers: [tracker.url], ...havingAll(image) })
  const leech = node({ metainfo, trackers: [tracker.url] })
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
})
