// Heads that would keep a pattern busy; what is mended otherwise is tested against real sockets.
import { expect, test } from 'vitest'
import { createAnswerMender } from '../../../agent/http/answer-mender.ts'

const BLANKS = ' '.repeat(60_000)

function mended(head: string): string {
  const parts = createAnswerMender().mend(Buffer.from(head, 'latin1'))
  return Buffer.concat(parts).toString('latin1')
}

test.each([
  ['blanks before a lone CR', `x:${BLANKS}\ry`, 'x: y'],
  ['blanks inside of a value', `x:a${BLANKS}y`, `x: a${BLANKS}y`],
  ['blanks before the colon', `x${BLANKS}: y`, 'x: y'],
  ['a line of blanks and a colon', `a b${BLANKS}:y\r\nx: y`, 'x: y'],
  ['nothing but blanks behind a name', `x:${BLANKS}`, 'x: '],
])('a head with 60,000 %s is read', (_what, line, header) => {
  expect(mended(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`)).toBe(`HTTP/1.1 200 OK\r\n${header}\r\n\r\n`)
})
