import { afterEach, describe, expect, test, vi } from 'vitest'
import { startFilter } from '../../../agent/system/filter.ts'

const MiB = 1024 * 1024
const { signal } = new AbortController()

async function bytesOf(output: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for await (const chunk of output) bytes += chunk.length
  return bytes
}

/** The clock stands while the program is waited for: a busy machine starts it late. */
const holdClock = () => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
afterEach(() => {
  vi.useRealTimers()
})

describe('a program that bytes are passed through', () => {
  test('is not silent while its input is slow to come', async () => {
    holdClock()
    await using program = startFilter(['cat'], { silenceMs: 300, signal })
    const reading = bytesOf(program.output)
    for (let round = 0; round < 3; round++) {
      expect(await program.write(Buffer.alloc(1000))).toBe(true)
      await vi.advanceTimersByTimeAsync(600)
    }
    program.end()
    expect(await reading).toBe(3000)
    expect(await program.ended).toEqual({ exitCode: 0, stderr: '' })
  })

  test('is not silent while nobody takes what it gives', async () => {
    holdClock()
    await using program = startFilter(['cat'], { silenceMs: 300, signal })
    const writing = program.write(Buffer.alloc(4 * MiB)).then((isTaken) => {
      program.end()
      return isTaken
    })
    await vi.advanceTimersByTimeAsync(1000)
    expect(await bytesOf(program.output)).toBe(4 * MiB)
    expect(await writing).toBe(true)
  })

  test('is killed where it neither takes what is there nor gives what is waited for', async () => {
    await using program = startFilter(['sleep', '60'], { silenceMs: 300, signal })
    const silent = {
      type: 'ProcessError',
      details: 'sleep: took and gave nothing for 0.3 s; killed',
    }
    const both = await Promise.allSettled([
      program.write(Buffer.alloc(4 * MiB)),
      bytesOf(program.output),
    ])
    expect(both.map((end) => end.status === 'rejected' && end.reason)).toContainEqual(
      expect.objectContaining(silent),
    )
    expect((await program.ended).exitCode).toBeNull()
  })

  test('is killed where it says nothing after the end of its input', async () => {
    await using program = startFilter(['sleep', '60'], { silenceMs: 300, signal })
    program.end()
    await expect(bytesOf(program.output)).rejects.toMatchObject({ type: 'ProcessError' })
    expect((await program.ended).exitCode).toBeNull()
  })
})
