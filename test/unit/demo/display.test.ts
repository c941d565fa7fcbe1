import { describe, expect, test } from 'vitest'
import { createDisplay, plainLine, tableLines } from '../../e2e/demo/display.ts'
import { emptyRow, loggedBytes, nextRow } from '../../e2e/demo/node-progress.ts'

const MiB = 1024 * 1024
const status = {
  progress: {
    step: 'fetch',
    percent: 42.7,
    rate_per_second: 35 * MiB,
    eta_seconds: 5,
    bytes: { peers: 80 * MiB, origin: 27 * MiB, file: 0 },
    peers: 5,
  },
}

function recorder(isTTY: boolean) {
  const written: string[] = []
  return { isTTY, written, write: (text: string) => written.push(text) }
}

describe('the row of a node', () => {
  test('shows what its agent does rather than what the conductor waits for', () => {
    expect(nextRow(emptyRow('node-1'), 'wait call-back', status)).toEqual({
      name: 'node-1',
      state: 'fetch',
      percent: 42.7,
      rate: 35 * MiB,
      etaSeconds: 5,
      fromPeers: 80 * MiB,
      fromOrigin: 27 * MiB,
      peers: 5,
    })
  })

  test('keeps its figures when the agent is gone, and shows the final state', () => {
    const last = nextRow(emptyRow('node-1'), 'wait call-back', status)
    expect(nextRow(last, 'active', undefined)).toMatchObject({
      state: 'active',
      fromPeers: 80 * MiB,
      rate: 0,
      etaSeconds: null,
    })
  })

  test('says that a node seeds when its image is written', () => {
    const seeding = { command: null, progress: null, is_seeding: true }
    expect(nextRow(emptyRow('n'), 'wait call-back', seeding)).toMatchObject({
      state: 'seeding',
      percent: 100,
    })
  })

  test('ends with the bytes the agent logged, if it got that far', () => {
    const finished = JSON.stringify({ bytes: { origin: 3, peers: 4 }, msg: 'write image finished' })
    expect(loggedBytes(`{"msg":"agent started"}\n${finished}\n`)).toEqual({ peers: 4, origin: 3 })
    expect(loggedBytes('{"msg":"agent started"}\n')).toBeUndefined()
  })

  test('takes an answer without progress, or with nonsense in it, for no news', () => {
    for (const odd of [{}, { progress: null }, { progress: 'x' }, [], 'x', null]) {
      expect(nextRow(emptyRow('n'), 'deploying', odd)).toEqual({
        ...emptyRow('n'),
        state: 'deploying',
      })
    }
    const nonsense = { progress: { percent: 'NaN', bytes: 7, step: 3 } }
    expect(nextRow(emptyRow('n'), 'deploying', nonsense)).toMatchObject({ percent: 0, peers: 0 })
  })
})

describe('the display', () => {
  const row = nextRow(emptyRow('node-1'), 'wait call-back', status)
  const frame = { rows: [row], seconds: 12.4, originRatio: 1.04 }

  test('is a table with a bar on a terminal', () => {
    const [header, line] = tableLines(frame)
    expect(header).toMatch(/^node +state .* rate +ETA +from peers +from origin +peers$/)
    expect(line).toMatch(/^node-1 +fetch +\[#{9}-{11}\] +42% +35\.0 MiB\/s +0:05 +80\.0 MiB/)
  })

  test('goes back up over what it drew before, and only then', () => {
    const out = recorder(true)
    const display = createDisplay(out)
    display.show(frame)
    display.show(frame)
    expect(out.written[0]).not.toContain('\u001b[4A')
    expect(out.written[1]?.startsWith('\u001b[4A')).toBe(true)
  })

  test('never draws more than the terminal has room for', () => {
    const out = { ...recorder(true), columns: 40, rows: 10 }
    createDisplay(out).show({ ...frame, rows: Array.from({ length: 30 }, () => row) })
    const lines = out.written.join('').split('\n').slice(0, -1)
    expect(lines).toHaveLength(9)
    for (const line of lines) expect(line.replace('\u001b[K', '').length).toBeLessThan(40)
    expect(lines.at(-1)).toContain('elapsed')
  })

  test('is a plain line every five seconds elsewhere, without escape codes', () => {
    const out = recorder(false)
    const display = createDisplay(out)
    for (const seconds of [0, 1, 4.9, 5, 9, 11]) display.show({ ...frame, seconds })
    expect(out.written).toHaveLength(3)
    expect(out.written.join('')).not.toContain('\u001b')
    expect(plainLine(frame)).toBe('12 s  origin 1.04 ×  node-1 fetch 42%')
  })
})
