// SPDX-License-Identifier: Apache-2.0
// Owns making a sloppy answer fit for a strict parser: line ends without CR, folded headers, a length said
// twice or beside chunks (RFC 9112 2.2, 5.2, 6.3). Only for a connection that carries one answer and is closed
// after it: what a length means to others behind us is then nobody's concern. Changes no byte of the body.

/** As the parser's own limit: a longer head is handed over as it is, to be refused. */
const MAX_HEAD_BYTES = 64 * 1024
const MAX_CHUNK_LINE_BYTES = 4096
const LF = 0x0a
const CR = 0x0d

export interface AnswerMender {
  /** What the parser is to see instead of `bytes`. Parts of the result may be parts of `bytes`. */
  mend(bytes: Uint8Array): Uint8Array[]
}

/** A step takes bytes, hands on what is mended, and returns how many it used. */
type Step = (bytes: Uint8Array, out: Uint8Array[]) => number

/** For one connection. */
export function createAnswerMender(): AnswerMender {
  let step: Step = createHeadStep((next) => {
    step = next
  })
  return {
    mend: (bytes) => {
      const out: Uint8Array[] = []
      for (let at = 0; at < bytes.length; ) at += step(bytes.subarray(at), out)
      return out
    },
  }
}

const passOn: Step = (bytes, out) => {
  out.push(bytes)
  return bytes.length
}

const drop: Step = (bytes) => bytes.length

function createHeadStep(become: (next: Step) => void): Step {
  let head = ''
  return (bytes, out) => {
    const before = head.length
    head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
    const end = /\n\r?\n/.exec(head)
    if (!end) {
      if (head.length <= MAX_HEAD_BYTES) return bytes.length
      become(passOn)
      out.push(Buffer.from(head, 'latin1'))
      return bytes.length
    }
    const endAt = end.index + end[0].length
    const mended = mendHead(head.slice(0, endAt))
    head = ''
    // a 100 that nobody asked for (RFC 9110 15.2): the answer is still to come
    if (!mended.isInterim) {
      become(mended.isChunked ? createChunkStep(become) : passOn)
      out.push(Buffer.from(mended.text, 'latin1'))
    }
    return endAt - before
  }
}

interface MendedHead {
  readonly text: string
  readonly isInterim: boolean
  readonly isChunked: boolean
}

/** One header a line, as it is in the answer; a line that is none is left out. */
function mendHead(head: string): MendedHead {
  const [status = '', ...lines] = unfold(head)
  const headers = lines.flatMap((line) => {
    // by hand: a pattern would try every way to share the blanks of a hostile line
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0)).trimEnd().toLowerCase()
    if (name === '' || /\s/.test(name)) return []
    // a lone CR is a blank (RFC 9112 2.2)
    return [
      {
        name,
        value: line
          .slice(colon + 1)
          .replaceAll('\r', ' ')
          .trim(),
      },
    ]
  })
  const isChunked = headers.some(
    ({ name, value }) => name === 'transfer-encoding' && /(^|,)\s*chunked\s*$/i.test(value),
  )
  const lengths = headers
    .filter(({ name }) => name === 'content-length')
    .flatMap(({ value }) => value.split(',').map((each) => each.trim()))
  const isOneLength = lengths.every((length) => length === lengths[0] && /^\d+$/.test(length))
  // lengths that differ stay, for the parser to refuse
  const kept =
    isChunked || isOneLength ? headers.filter(({ name }) => name !== 'content-length') : headers
  const length = isChunked || !isOneLength || !lengths[0] ? [] : [`content-length: ${lengths[0]}`]
  const text = [status, ...kept.map(({ name, value }) => `${name}: ${value}`), ...length]
  return {
    text: `${text.join('\r\n')}\r\n\r\n`,
    isInterim: /^HTTP\/1\.[01] 1(?!01)\d\d\b/i.test(status),
    isChunked,
  }
}

/** RFC 9112 5.2: a line that begins with white space goes on with the one before it. */
function unfold(head: string): string[] {
  const lines: string[] = []
  for (const line of head.split(/\r?\n/).filter((each) => each !== '')) {
    const isFolded = /^[ \t]/.test(line) && lines.length > 1
    if (isFolded) lines.push(`${lines.pop()} ${line.trim()}`)
    else lines.push(line)
  }
  return lines
}

/** Chunks (RFC 9112 7.1) with their size lines written anew. What follows the last is nobody's. */
function createChunkStep(become: (next: Step) => void): Step {
  let line = ''
  let left = 0
  const takeLine: Step = (bytes, out) => {
    const end = bytes.indexOf(LF)
    const used = end < 0 ? bytes.length : end + 1
    line += Buffer.from(bytes.buffer, bytes.byteOffset, used).toString('latin1')
    const size = /^\s*([0-9a-f]{1,12})\s*(;.*)?$/is.exec(line)?.[1]
    if (end < 0 && line.length <= MAX_CHUNK_LINE_BYTES) return used
    if (size === undefined || end < 0) {
      become(passOn)
      out.push(Buffer.from(line, 'latin1'))
      return used
    }
    line = ''
    left = Number.parseInt(size, 16)
    out.push(Buffer.from(left === 0 ? '0\r\n\r\n' : `${left.toString(16)}\r\n`))
    become(left === 0 ? drop : takeData)
    return used
  }
  const takeData: Step = (bytes, out) => {
    const part = bytes.subarray(0, left)
    out.push(part)
    left -= part.length
    if (left === 0) {
      out.push(Buffer.from('\r\n'))
      become(skipLineEnd)
    }
    return part.length
  }
  const skipLineEnd: Step = (bytes) => {
    if (bytes[0] === CR) return 1
    become(takeLine)
    return bytes[0] === LF ? 1 : 0
  }
  return takeLine
}
