import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { packWithin } from '../../../../agent/hardware/log-bundle/pack.ts'

const MiB = 1024 * 1024

/** The text of a member, as tar gives it back. */
function memberOf(packed: string, name: string): string {
  const input = Buffer.from(packed, 'base64')
  return execFileSync('tar', ['-xzOf', '-', name], { input, maxBuffer: 64 * MiB }).toString()
}

test('what fits is packed as it is', async () => {
  const packed = await packWithin([{ name: 'a', content: 'one\n' }], 0, MiB)
  expect(memberOf(packed, 'a')).toBe('one\n')
})

test('of members that do not fit the newer part of the longest is kept, by whole lines', async () => {
  const line = () => `${randomBytes(45).toString('hex')}\n`
  const long = Array.from({ length: 20_000 }, line).join('')
  const packed = await packWithin(
    [
      { name: 'long', content: long },
      { name: 'short', content: 'short\n' },
    ],
    0,
    MiB / 2,
  )
  expect(packed.length).toBeLessThanOrEqual(MiB / 2)
  expect(memberOf(packed, 'short')).toBe('short\n')
  const [first, ...lines] = memberOf(packed, 'long').split('\n')
  expect(first).toMatch(/the older part is left out/)
  expect(lines.length).toBeGreaterThan(1000)
  expect(long.endsWith(lines.join('\n'))).toBe(true)
  expect(lines[0]).toHaveLength(90)
})

test('members larger than memory should hold are cut before they are packed', async () => {
  const content = 'x'
    .repeat(1023)
    .concat('\n')
    .repeat(30 * 1024)
  const packed = await packWithin(
    [
      { name: 'a', content },
      { name: 'b', content },
    ],
    0,
    MiB,
  )
  expect(memberOf(packed, 'a').length).toBeLessThan(12 * MiB)
  expect(memberOf(packed, 'b').length).toBeGreaterThan(6 * MiB)
})
