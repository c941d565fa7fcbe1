import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type MessageHandler,
  MessageParser,
} from '../../../../../agent/sources/swarm/wire/message-parser.ts'
import { MessageRates } from '../../../../../agent/sources/swarm/wire/message-rates.ts'
import {
  createChunkPool,
  MessageWriter,
} from '../../../../../agent/sources/swarm/wire/message-writer.ts'
import { MAX_MESSAGE_BYTES } from '../../../../../agent/sources/swarm/wire/messages.ts'
import { messageOf, messageWith } from '../../../../support/hostile/attacking-peer.ts'

const PIECES = 100_000
const createRates = () => new MessageRates(PIECES, () => 0)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** Notes what it is told, in words. */
function createScribe(onNote: (note: string) => void): MessageHandler {
  return {
    onChoke: () => onNote('choke'),
    onUnchoke: () => onNote('unchoke'),
    onInterested: () => onNote('interested'),
    onNotInterested: () => onNote('not interested'),
    onHave: (piece) => onNote(`have ${piece}`),
    onBitfield: (bits) => onNote(`bitfield ${hex(bits)}`),
    onHaveAll: () => onNote('have all'),
    onHaveNone: () => onNote('have none'),
    onRequest: (...numbers) => onNote(`request ${numbers}`),
    onCancel: (...numbers) => onNote(`cancel ${numbers}`),
    onBlock: (piece, offset, block) => onNote(`block ${piece},${offset} ${hex(block)}`),
    onReject: (...numbers) => onNote(`reject ${numbers}`),
    onExtended: (id, payload) => onNote(`extended ${id} ${hex(payload)}`),
    onAbuse: (reason) => onNote(`abuse: ${reason}`),
  }
}

function parse(reads: Iterable<Uint8Array>): string[] {
  const notes: string[] = []
  const parser = new MessageParser(
    createScribe((note) => notes.push(note)),
    createRates(),
  )
  for (const read of reads) {
    // the bytes are gone after the call, as they are with a socket's one buffer
    const buffer = Uint8Array.from(read)
    parser.push(buffer)
    buffer.fill(0xee)
  }
  return notes
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i)
  return bytes
}

const uint32 = fc.nat(0xffffffff)
const signal = (id: number, note: string) => fc.constant({ bytes: messageOf(id), note })
const withNumbers = (id: number, name: string, count: number) =>
  fc.array(uint32, { minLength: count, maxLength: count }).map((values) => ({
    bytes: messageWith(id, numbers(...values)),
    note: `${name} ${values}`,
  }))
const body = fc.uint8Array({ maxLength: 400 })
const anyMessage = fc.oneof(
  signal(0, 'choke'),
  signal(1, 'unchoke'),
  signal(2, 'interested'),
  signal(3, 'not interested'),
  signal(14, 'have all'),
  signal(15, 'have none'),
  withNumbers(4, 'have', 1),
  withNumbers(6, 'request', 3),
  withNumbers(8, 'cancel', 3),
  withNumbers(16, 'reject', 3),
  body.map((bits) => ({ bytes: messageWith(5, bits), note: `bitfield ${hex(bits)}` })),
  fc.tuple(uint32, uint32, body).map(([piece, offset, block]) => ({
    bytes: messageWith(7, Buffer.concat([numbers(piece, offset), block])),
    note: `block ${piece},${offset} ${hex(block)}`,
  })),
  fc.tuple(fc.nat(255), body).map(([id, payload]) => ({
    bytes: messageWith(20, Buffer.concat([Buffer.from([id]), payload])),
    note: `extended ${id} ${hex(payload)}`,
  })),
  // keep-alive, and what nobody asked for
  fc.constant({ bytes: Buffer.alloc(4), note: '' }),
  body.map((payload) => ({ bytes: messageWith(13, payload), note: '' })),
)

/** Splits the bytes at places that the numbers choose. */
function splitAt(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length))
}

test('however a stream of messages is cut into reads, the same messages come out', () => {
  fc.assert(
    fc.property(fc.array(anyMessage), fc.array(fc.nat()), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map((each) => each.bytes))
      const expected = messages.map((each) => each.note).filter(Boolean)
      expect(parse(splitAt(bytes, cuts))).toEqual(expected)
      expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected)
    }),
  )
})

test('garbage ends in silence or in one complaint, never in an exception', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 2000 })), (reads) => {
      const notes = parse(reads)
      const complaint = notes.findIndex((note) => note.startsWith('abuse'))
      if (complaint >= 0) expect(complaint).toBe(notes.length - 1)
    }),
  )
})

test('a message that is longer than any is refused when its length is known', () => {
  expect(parse([numbers(MAX_MESSAGE_BYTES + 1), messageOf(1)])).toEqual([
    `abuse: it announced a message of ${MAX_MESSAGE_BYTES + 1} bytes`,
  ])
  expect(parse([Buffer.concat([messageOf(1), numbers(0xffffffff)])])).toEqual([
    'unchoke',
    'abuse: it announced a message of 4294967295 bytes',
  ])
  const longest = messageWith(5, new Uint8Array(MAX_MESSAGE_BYTES - 1).fill(0x5a))
  const halves = [longest.subarray(0, 100_000), longest.subarray(100_000)]
  expect(parse(halves)).toEqual([`bitfield ${hex(longest.subarray(5))}`])
})

const WRONG_LENGTHS: Record<string, Buffer> = {
  'HAVE without a number': messageOf(4),
  'REQUEST with two numbers': messageWith(6, numbers(1, 2)),
  'UNCHOKE with a body': messageWith(1, numbers(1)),
  'PIECE without an offset': messageWith(7, numbers(1)),
  'an extension without an id': messageOf(20),
}

for (const [what, bytes] of Object.entries(WRONG_LENGTHS)) {
  test(`${what} is abuse, and nothing after it is read`, () => {
    const notes = parse([Buffer.concat([bytes, messageOf(1)])])
    expect(notes.length).toBe(1)
    expect(notes[0]).toMatch(/^abuse: its message \d+ has \d+ bytes$/)
  })
}

test('a handler that stops the parser hears nothing more of the same read', () => {
  const notes: string[] = []
  const scribe = createScribe((note) => notes.push(note))
  const parser = new MessageParser({ ...scribe, onUnchoke: () => parser.stop() }, createRates())
  parser.push(Buffer.concat([messageOf(1), messageOf(2)]))
  parser.push(messageOf(3))
  expect(notes).toEqual([])
})

test('what the writer writes, the parser reads: steering before blocks that wait', async () => {
  const written: Uint8Array[] = []
  let release: () => void = () => undefined
  const writer = new MessageWriter({
    chunks: createChunkPool(),
    pieceCount: PIECES,
    write: (bytes, onWritten) => {
      written.push(bytes)
      release = onWritten
    },
    onDrain: () => undefined,
    onUnread: (reason) => expect.unreachable(reason),
  })
  writer.message(2)
  expect(writer.unsentBytes).toBe(5)
  writer.open()
  await undefined
  const block = new Uint8Array(16_384).fill(7)
  for (let piece = 0; piece < 5; piece++) writer.block(piece, 16_384, block)
  writer.message(6, 1, 2, 3)
  writer.raw(messageWith(20, Buffer.from([3, 9])))
  for (let count = 0; count < 6; count++) {
    release()
    await undefined
  }
  expect(writer.unsentBytes).toBe(0)
  expect(parse(written)).toEqual([
    'interested',
    'request 1,2,3',
    'extended 3 09',
    ...[0, 1, 2, 3, 4].map((piece) => `block ${piece},16384 ${hex(block)}`),
  ])
  // what belongs together goes out together
  expect(written.length).toBe(4)
})

test('a peer that does not read is given up before its messages fill the memory', () => {
  const complaints: string[] = []
  const writer = new MessageWriter({
    chunks: createChunkPool(),
    pieceCount: PIECES,
    write: () => undefined,
    onDrain: () => undefined,
    onUnread: (reason) => complaints.push(reason),
  })
  writer.open()
  for (let count = 0; count < 200_000 && complaints.length === 0; count++)
    writer.message(16, 1, 2, 3)
  expect(complaints[0]).toMatch(/does not read/)
  expect(writer.unsentBytes).toBeLessThan(128 * 1024)
})

test('a peer that does not read is told of every piece when it does, and held no more than a bit for each', async () => {
  const written: Uint8Array[] = []
  let release: () => void = () => undefined
  const writer = new MessageWriter({
    chunks: createChunkPool(),
    pieceCount: PIECES,
    write: (bytes, onWritten) => {
      written.push(bytes)
      release = onWritten
    },
    onDrain: () => undefined,
    onUnread: (reason) => expect.unreachable(reason),
  })
  writer.open()
  for (let piece = 0; piece < PIECES; piece++) writer.have(piece)
  expect(writer.unsentBytes).toBeLessThan(32 * 1024)
  await undefined
  for (let count = 0; count < 100; count++) {
    release()
    await undefined
  }
  expect(writer.unsentBytes).toBe(0)
  const told = parse(written).map((note) => Number(note.replace('have ', '')))
  expect(told.sort((a, b) => a - b)).toEqual(Array.from({ length: PIECES }, (_, piece) => piece))
})

test('a peer that does not read is spared the hints, and told of requests in front of HAVEs that wait', async () => {
  const written: Uint8Array[] = []
  let release: () => void = () => undefined
  const writer = new MessageWriter({
    chunks: createChunkPool(),
    pieceCount: PIECES,
    write: (bytes, onWritten) => {
      written.push(bytes)
      release = onWritten
    },
    onDrain: () => undefined,
    onUnread: (reason) => expect.unreachable(reason),
  })
  writer.open()
  const hint = messageWith(20, Buffer.alloc(2 + 64, 9))
  for (let count = 0; count < 10_000; count++) writer.hint(hint)
  expect(writer.unsentBytes).toBeLessThan(32 * 1024)
  for (let piece = 0; piece < 256; piece++) {
    writer.message(6, piece, 0, 16_384)
    writer.message(8, piece, 0, 16_384)
  }
  for (let count = 0; count < 10; count++) {
    await undefined
    release()
  }
  const told = parse(written)
  expect(told.filter((note) => note.startsWith('request'))).toHaveLength(256)
  const hints = told.filter((note) => note.startsWith('extended')).length
  expect(hints).toBeGreaterThan(100)
  expect(hints).toBeLessThan(1000)
})

test('chunks of longer blocks are not kept for others when the connection ends', () => {
  const chunks = createChunkPool()
  const writer = new MessageWriter({
    chunks,
    pieceCount: PIECES,
    write: () => undefined,
    onDrain: () => undefined,
    onUnread: (reason) => expect.unreachable(reason),
  })
  for (let piece = 0; piece < 10; piece++) writer.block(piece, 0, new Uint8Array(128 * 1024))
  writer.close()
  expect(chunks.take().length).toBeLessThan(128 * 1024)
})
