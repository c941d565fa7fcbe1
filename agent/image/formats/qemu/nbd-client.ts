// SPDX-License-Identifier: Apache-2.0
// Owns the client's side of the NBD protocol (the NBD project’s own document of it): fixed newstyle, structured
// replies, base:allocation, reads only. Does not start a server.
import { createConnection, type Socket } from 'node:net'
import { createSocketBytes, type SocketBytes } from './socket-bytes.ts'

/** A run of the export, and whether all of it reads as zeros. */
export interface NbdRun {
  readonly length: number
  readonly isZero: boolean
}

export interface NbdClient extends AsyncDisposable {
  /** Length of the export, bytes. */
  readonly exportBytes: number
  /** Fills `target` with what lies at `offset`. One call at a time. Rejects with the server's words. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** What lies from `offset` on: at least one run, of `length` bytes at most. One call at a time. */
  runs(offset: number, length: number): Promise<NbdRun[]>
}

const INIT_MAGIC = 0x4e42444d41474943n // NBDMAGIC
const OPTION_MAGIC = 0x49484156454f5054n // IHAVEOPT
const OPTION_REPLY_MAGIC = 0x3e889045565a9n
const REQUEST_MAGIC = 0x25609513
const CHUNK_MAGIC = 0x668e33ef
const FIXED_NEWSTYLE = 1
const NO_ZEROES = 2

const OPTION = { go: 7, structuredReply: 8, setMetaContext: 10 } as const
const REPLY = { ack: 1, info: 3, metaContext: 4, isError: 0x8000_0000 } as const
const COMMAND = { read: 0, disconnect: 2, blockStatus: 7 } as const
const CHUNK = { none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, isError: 0x8000 } as const
const DONE = 1
const STATE_ZERO = 2
const REQUEST_BYTES = 28
/** qemu names 128 Ki runs at once at most. */
const MAX_REPLY_BYTES = 1024 * 1024 + 4
const ALLOCATION = 'base:allocation'

interface Chunk {
  readonly type: number
  readonly isLast: boolean
  readonly length: number
}

/** Connects to a server's unix socket. Rejects where it is none, or lacks structured replies or base:allocation. */
export async function connectNbd(path: string, silenceMs: number): Promise<NbdClient> {
  const socket = createConnection({ path })
  const bytes = createSocketBytes(socket, silenceMs)
  try {
    return createClient(socket, bytes, await negotiate(socket, bytes))
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function createClient(socket: Socket, bytes: SocketBytes, exportBytes: number): NbdClient {
  let cookie = 0n
  const ask = (type: number, offset: number, length: number) => {
    const request = Buffer.alloc(REQUEST_BYTES)
    request.writeUInt32BE(REQUEST_MAGIC, 0)
    request.writeUInt16BE(type, 6)
    cookie += 1n
    request.writeBigUInt64BE(cookie, 8)
    request.writeBigUInt64BE(BigInt(offset), 16)
    request.writeUInt32BE(length, 24)
    socket.write(request)
  }
  return {
    exportBytes,
    read: async (offset, target) => {
      ask(COMMAND.read, offset, target.length)
      let doneBytes = 0
      for (let isLast = false; !isLast; ) {
        const chunk = await nextChunk(bytes, cookie)
        isLast = chunk.isLast
        doneBytes += await takeContent(bytes, chunk, offset, target)
      }
      if (doneBytes !== target.length) {
        throw new Error(`the NBD server sent ${doneBytes} of ${target.length} bytes`)
      }
    },
    runs: async (offset, length) => {
      ask(COMMAND.blockStatus, offset, length)
      const runs: NbdRun[] = []
      for (let isLast = false; !isLast; ) {
        const chunk = await nextChunk(bytes, cookie)
        isLast = chunk.isLast
        if (chunk.type === CHUNK.none) continue
        if (chunk.type !== CHUNK.blockStatus) throw unexpected('chunk', chunk.type)
        runs.push(...parseRuns(await bytes.read(bounded(chunk.length))))
      }
      if (!runs.some((run) => run.length > 0)) throw new Error('the NBD server names no run')
      return runs
    },
    [Symbol.asyncDispose]: async () => {
      ask(COMMAND.disconnect, 0, 0)
      socket.end()
      socket.destroySoon()
    },
  }
}

/** Resolves to the length of the export. */
async function negotiate(socket: Socket, bytes: SocketBytes): Promise<number> {
  const hello = await bytes.read(18)
  if (hello.readBigUInt64BE(0) !== INIT_MAGIC || hello.readBigUInt64BE(8) !== OPTION_MAGIC) {
    throw new Error('no NBD server answers (fixed newstyle)')
  }
  const flags = Buffer.alloc(4)
  flags.writeUInt32BE(hello.readUInt16BE(16) & (FIXED_NEWSTYLE | NO_ZEROES))
  socket.write(flags)

  await option(socket, bytes, OPTION.structuredReply, Buffer.alloc(0))
  const query = Buffer.from(ALLOCATION)
  const contexts = Buffer.concat([uint32(0), uint32(1), uint32(query.length), query])
  const answers = await option(socket, bytes, OPTION.setMetaContext, contexts)
  if (!answers.some(({ type }) => type === REPLY.metaContext)) {
    throw new Error(`the NBD server has no ${ALLOCATION}`)
  }
  const infos = await option(socket, bytes, OPTION.go, Buffer.alloc(6))
  const size = infos.find(({ type, data }) => type === REPLY.info && data.readUInt16BE(0) === 0)
  if (!size) throw new Error('the NBD server names no size')
  return Number(size.data.readBigUInt64BE(2))
}

interface OptionReply {
  readonly type: number
  readonly data: Buffer
}

/** Asks for an option and resolves to the replies before its acknowledgement. */
async function option(
  socket: Socket,
  bytes: SocketBytes,
  code: number,
  data: Buffer,
): Promise<OptionReply[]> {
  const head = Buffer.alloc(16)
  head.writeBigUInt64BE(OPTION_MAGIC, 0)
  head.writeUInt32BE(code, 8)
  head.writeUInt32BE(data.length, 12)
  socket.write(Buffer.concat([head, data]))
  for (const replies: OptionReply[] = []; ; ) {
    const reply = await bytes.read(20)
    if (reply.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC || reply.readUInt32BE(8) !== code) {
      throw new Error('the NBD server answers another option than was asked for')
    }
    const type = reply.readUInt32BE(12)
    const content = await bytes.read(bounded(reply.readUInt32BE(16)))
    if (type >= REPLY.isError) throw new Error(`the NBD server refuses: ${content.toString()}`)
    if (type === REPLY.ack) return replies
    replies.push({ type, data: content })
  }
}

async function nextChunk(bytes: SocketBytes, cookie: bigint): Promise<Chunk> {
  const head = await bytes.read(20)
  if (head.readUInt32BE(0) !== CHUNK_MAGIC || head.readBigUInt64BE(8) !== cookie) {
    throw new Error('the NBD server answers another request than was made')
  }
  const type = head.readUInt16BE(6)
  const length = head.readUInt32BE(16)
  if (type < CHUNK.isError) return { type, isLast: (head.readUInt16BE(4) & DONE) !== 0, length }
  const content = await bytes.read(bounded(length))
  const words = content.subarray(6, 6 + content.readUInt16BE(4)).toString()
  throw new Error(`the NBD server: error ${content.readUInt32BE(0)}: ${words}`)
}

/** Resolves to the bytes of `target` that the chunk filled. */
async function takeContent(
  bytes: SocketBytes,
  { type, length }: Chunk,
  offset: number,
  target: Uint8Array,
): Promise<number> {
  if (type === CHUNK.none) return 0
  if (type !== CHUNK.offsetData && type !== CHUNK.offsetHole) throw unexpected('chunk', type)
  const at = Number((await bytes.read(8)).readBigUInt64BE(0)) - offset
  const size = type === CHUNK.offsetData ? length - 8 : (await bytes.read(4)).readUInt32BE(0)
  if (at < 0 || size < 0 || at + size > target.length) {
    throw new Error(`the NBD server sent ${size} bytes at ${at} of the ${target.length} asked for`)
  }
  const part = target.subarray(at, at + size)
  if (type === CHUNK.offsetData) await bytes.readInto(part)
  else part.fill(0)
  return size
}

/** The context's number, then runs of a length and a state. */
function parseRuns(content: Buffer): NbdRun[] {
  return Array.from({ length: Math.floor((content.length - 4) / 8) }, (_, i) => ({
    length: content.readUInt32BE(4 + 8 * i),
    isZero: (content.readUInt32BE(8 + 8 * i) & STATE_ZERO) !== 0,
  }))
}

function bounded(length: number): number {
  if (length <= MAX_REPLY_BYTES) return length
  throw new Error(`the NBD server announces a reply of ${length} bytes`)
}

function unexpected(what: string, type: number): Error {
  return new Error(`the NBD server sent a ${what} of type ${type}, which nobody asked for`)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
