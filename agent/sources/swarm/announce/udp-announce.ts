// SPDX-License-Identifier: Apache-2.0
// Owns one announce over UDP (BEP 15): two questions, asked again while no answer comes. Does not know how
// long anybody wants to wait; the caller's signal ends it.
import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { anySignal } from '../../../core/deadline.ts'
import { withoutBrackets } from '../../../system/network/ip-network.ts'
import { type Announcement, type TrackerAnswer, TrackerRefusal, wordsOf } from './announcement.ts'
import { compactAddresses } from './peer-addresses.ts'

/** BEP 15: marks the protocol. */
const PROTOCOL_ID = 0x41727101980n
const ACTION = { connect: 0, announce: 1, error: 3 } as const
const EVENTS = { completed: 1, started: 2, stopped: 3 } as const
/** The port of urls that name none. */
const DEFAULT_PORT = 80
/** BEP 15 waits 15 s before it asks again; on the network of a deploy a lost datagram is lost after one. */
const FIRST_PATIENCE_MS = 1000

/** @throws TrackerRefusal with the tracker's words, a system error, or the reason of `signal` */
export async function announceByUdp(
  url: string,
  announcement: Announcement,
  signal: AbortSignal,
): Promise<TrackerAnswer> {
  const { hostname, port } = new URL(url)
  const host = decodeURIComponent(withoutBrackets(hostname))
  // the resolver takes as long as it takes; where there are both, nodes without IPv6 must be told of the others
  const { address, family } = await orAbort(lookup(host, { order: 'ipv4first' }), signal)
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  const over = new AbortController()
  const ended = anySignal(signal, over.signal)
  socket.on('error', (error) => over.abort(error))
  try {
    // connected: the kernel takes datagrams of this address alone, and says when nobody listens there
    socket.connect(Number(port || DEFAULT_PORT), address)
    await orAbort(new Promise<void>((resolve) => socket.once('connect', resolve)), ended)
    const connected = await ask(socket, connectRequest, ACTION.connect, 16, ended)
    const connectionId = connected.readBigUInt64BE(8)
    const announce = (id: Buffer) => announceRequest(connectionId, id, announcement)
    return answerOf(await ask(socket, announce, ACTION.announce, 20, ended), family)
  } finally {
    over.abort(new Error('over'))
    socket.close()
  }
}

/** Asks until the answer comes: after 1 s, 2 s, 4 s …, with one transaction. */
async function ask(
  socket: Socket,
  request: (transactionId: Buffer) => Buffer,
  action: number,
  minBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const transactionId = randomBytes(4)
  const datagram = request(transactionId)
  const answer = Promise.withResolvers<Buffer>()
  const onMessage = (message: Buffer) => {
    // an answer to what was asked earlier, or by somebody else
    if (message.length < 8 || !message.subarray(4, 8).equals(transactionId)) return
    const said = message.readUInt32BE(0)
    if (said === ACTION.error) answer.reject(new TrackerRefusal(wordsOf(message.subarray(8))))
    else if (said === action && message.length >= minBytes) answer.resolve(message)
    else answer.reject(new Error('an answer that is none of BEP 15'))
  }
  let timer: NodeJS.Timeout | undefined
  const send = (patienceMs: number) => {
    // a datagram that cannot leave now is as good as lost on the way
    socket.send(datagram, () => undefined)
    timer = setTimeout(() => send(2 * patienceMs), patienceMs)
  }
  socket.on('message', onMessage)
  try {
    send(FIRST_PATIENCE_MS)
    return await orAbort(answer.promise, signal)
  } finally {
    clearTimeout(timer)
    socket.off('message', onMessage)
  }
}

function connectRequest(transactionId: Buffer): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64BE(PROTOCOL_ID, 0)
  bytes.writeUInt32BE(ACTION.connect, 8)
  transactionId.copy(bytes, 12)
  return bytes
}

function announceRequest(
  connectionId: bigint,
  transactionId: Buffer,
  { infoHash, peerId, downloaded, left, uploaded, event, numwant, port }: Announcement,
): Buffer {
  const bytes = Buffer.alloc(98)
  bytes.writeBigUInt64BE(connectionId, 0)
  bytes.writeUInt32BE(ACTION.announce, 8)
  transactionId.copy(bytes, 12)
  bytes.set(infoHash, 16)
  bytes.set(peerId, 36)
  bytes.writeBigUInt64BE(BigInt(downloaded), 56)
  bytes.writeBigUInt64BE(BigInt(left), 64)
  bytes.writeBigUInt64BE(BigInt(uploaded), 72)
  bytes.writeUInt32BE(event === undefined ? 0 : EVENTS[event], 80)
  // 84: our address, 88: a key; both are optional
  bytes.writeUInt32BE(numwant, 92)
  bytes.writeUInt16BE(port, 96)
  return bytes
}

function answerOf(message: Buffer, family: number): TrackerAnswer {
  return {
    peers: compactAddresses(message.subarray(20), family === 6 ? 16 : 4),
    nodes: message.readUInt32BE(12) + message.readUInt32BE(16),
    trackerId: undefined,
    warning: undefined,
  }
}

/** The work goes on by itself; nobody waits for it any longer. */
function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', onAbort))
}
