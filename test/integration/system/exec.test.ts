import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { exec } from '../../../agent/system/exec.ts'

const HELD = /^sh: killed, and has not ended: .*what it started holds its output/

describe('a program that is killed', () => {
  test('and ends is told from one that does not', async () => {
    await expect(exec(['sleep', '600'], { timeoutMs: 100 })).rejects.toMatchObject({
      type: 'ProcessError',
      details: 'sleep: no end after 0.1 s; killed',
    })
  })

  test('has given no answer, whatever it ends with', async () => {
    const polite = ['sh', '-c', 'trap "exit 3" TERM; while :; do sleep 0.1; done'] as const
    const deadline = exec(polite, { timeoutMs: 300, okExitCodes: [0, 3] })
    await expect(deadline).rejects.toMatchObject({ details: 'sh: no end after 0.3 s; killed' })
    const signal = AbortSignal.timeout(300)
    await expect(exec(polite, { signal, okExitCodes: [3] })).rejects.toMatchObject({
      details: 'sh: cancelled',
    })
  })

  // what it started is in a session of its own and holds the pipes: nobody hears the end of them
  const outliving = (seconds: number) =>
    ['sh', '-c', `setsid sleep ${seconds} & echo $!; wait`] as const

  test('while what it started holds its output is left behind after the deadline', async () => {
    let started = ''
    const onStdout = (bytes: Uint8Array) => {
      started += Buffer.from(bytes).toString()
    }
    let end: unknown
    // on a busy machine the deadline may come before anything is started: then a later one
    for (let timeoutMs = 500; started === ''; timeoutMs *= 2) {
      end = await exec(outliving(300), { timeoutMs, onStdout }).catch((error: unknown) => error)
    }
    expect(end).toMatchObject({ type: 'ProcessError', details: expect.stringMatching(HELD) })
    // it was not waited for: what it started runs yet
    const left = Number(started)
    expect(await readFile(`/proc/${left}/cmdline`, 'latin1')).toBe(`sleep\0${300}\0`)
    process.kill(left)
  })

  test('by its signal is left behind as well, long before its deadline', async () => {
    const cancelled = new AbortController()
    let started = ''
    const onStdout = (bytes: Uint8Array) => {
      started += Buffer.from(bytes).toString()
      cancelled.abort(new Error('enough'))
    }
    const run = exec(outliving(300), { timeoutMs: 3_600_000, signal: cancelled.signal, onStdout })
    await expect(run).rejects.toMatchObject({ details: expect.stringMatching(HELD) })
    process.kill(Number(started))
  })
})

describe('a deadline', () => {
  test('may be longer than a timer can be, and no whole number of ms', async () => {
    const month = 30 * 24 * 3600 * 1000 + 0.5
    expect(await exec(['sleep', '0.1'], { timeoutMs: month })).toMatchObject({ exitCode: 0 })
  })
})
