import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { INITIAL_STATE, nextState } from '../../../agent/core/agent-state.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { openPlainLines, statusLine } from '../../../agent/telemetry/screen/plain-lines.ts'
import { renderScreen, type ScreenPage } from '../../../agent/telemetry/screen/screen.ts'
import { openTextScreen } from '../../../agent/telemetry/screen/tty-screen.ts'
import { viewOf } from '../../../agent/telemetry/view/view.ts'
import { SCENES } from '../../integration/page/scenes.ts'
import { newEvents } from '../../support/event-lab.ts'

const NOW = 1_790_000_000_000
const SIZES = { wide: { columns: 80, rows: 25 }, narrow: { columns: 40, rows: 25 } }

function stateOf(name: string) {
  return (SCENES[name] ?? []).reduce(
    (state, event, i) => nextState(state, { ...event, id: i + 1, at: NOW }),
    INITIAL_STATE,
  )
}

function screenOf(
  scene: string,
  size: { columns: number; rows: number },
  page: ScreenPage = 'now',
) {
  return renderScreen(viewOf(stateOf(scene), NOW + 12_000), {
    ...size,
    page,
    log: ['19:02:10 info agent started', '19:02:11 warn lookup failed'],
    hasKeys: true,
    clock: '19:02:11',
  }).map(({ text }) => text)
}

describe('the screen of 80 by 25', () => {
  test.each(Object.keys(SCENES))('%s', (scene) => {
    expect(`\n${screenOf(scene, SIZES.wide).join('\n')}\n`).toMatchSnapshot()
  })

  test.each(['facts', 'log', 'network'] as const)('the page of %s', (page) => {
    expect(`\n${screenOf('deploying by swarm', SIZES.wide, page).join('\n')}\n`).toMatchSnapshot()
  })
})

describe('the screen of 40 columns', () => {
  test.each(Object.keys(SCENES))('%s', (scene) => {
    expect(`\n${screenOf(scene, SIZES.narrow).join('\n')}\n`).toMatchSnapshot()
  })
})

test('a reason is shown whole where there is room, and what to do below it wherever there is any', () => {
  const reason = `${'ab '.repeat(100)}end`
  const error = { type: 'ImageWriteError', code: 500, message: 'Error', details: reason }
  const failed = [
    { type: 'command', commandId: '1', name: 'go', status: 'RUNNING', error: null },
    { type: 'command', commandId: '1', name: 'go', status: 'FAILED', error },
  ] as const
  const state = failed.reduce(
    (before, event, i) => nextState(before, { ...event, id: i + 1, at: NOW }),
    INITIAL_STATE,
  )
  const shown = (rows: number) =>
    renderScreen(viewOf(state, NOW), {
      ...{ columns: 80, rows, page: 'now', log: [], hasKeys: true, clock: '00:00:00' },
    }).map(({ text }) => text)
  expect(shown(25).join('\n')).toMatch(/ab end\n > Look at the kernel log/)
  expect(shown(13).join('\n')).toMatch(/\.\.\.\n > Look at the kernel log/)
})

test('whatever happens, and whatever the size, the screen has its rows and columns and nothing that moves the cursor', () => {
  fc.assert(
    fc.property(
      fc.array(newEvents),
      fc.integer({ min: 20, max: 200 }),
      fc.integer({ min: 3, max: 60 }),
      fc.constantFrom<ScreenPage>('now', 'facts', 'log', 'network'),
      fc.array(fc.string()),
      (events, columns, rows, page, log) => {
        const state = events.reduce(
          (before, event, i) => nextState(before, { ...event, id: i + 1, at: NOW }),
          INITIAL_STATE,
        )
        const options = { columns, rows, page, log, hasKeys: false, clock: '00:00:00' }
        const lines = renderScreen(viewOf(state, NOW), options)
        expect(lines).toHaveLength(rows)
        for (const { text } of lines) {
          expect(text.length).toBeLessThanOrEqual(columns)
          expect(text).not.toMatch(/\p{C}/u)
        }
      },
    ),
  )
})

test('a screen is drawn in place: what has changed alone, no line feed, and the cursor below it at the end', () => {
  let output = ''
  let last = 'one'
  const screen = openTextScreen({
    write: (text) => (output += text),
    render: () => [
      { text: 'fixed', style: 'bar' },
      { text: last, style: 'plain' },
    ],
    intervalMs: 3_600_000,
  })
  expect(output).toContain('fixed')
  output = ''
  last = 'two'
  screen.refresh()
  expect(output).toContain('two')
  expect(output).not.toMatch(/fixed|\n/)
  // at the end of a full line its last character would be erased
  expect(output.indexOf('\u001B[K')).toBeLessThan(output.indexOf('two'))
  screen[Symbol.dispose]()
  expect(output.endsWith('\u001B[2;1H\u001B[0m\u001B[?25h\r\n')).toBe(true)
  output = ''
  screen[Symbol.dispose]()
  expect(output).toBe('')
})

describe('a serial line', () => {
  function serial() {
    let output = ''
    const events = createEventStream({ now: () => NOW })
    const lines = openPlainLines({
      write: (text) => (output += text),
      events,
      now: () => NOW,
      intervalMs: 3_600_000,
    })
    return { ...events, output: () => output, [Symbol.dispose]: () => lines[Symbol.dispose]() }
  }

  test.each(Object.keys(SCENES))('%s: a line for each event, in ASCII', (scene) => {
    using line = serial()
    for (const event of SCENES[scene] ?? []) line.publish(event)
    expect(line.output()).toMatch(/^(?:ironswarm: \d\d:\d\d:\d\d [\x20-\x7E]+\r\n)+$/)
    expect(line.output()).not.toContain('{')
    expect(`\n${line.output().replaceAll('\r', '')}`).toMatchSnapshot()
  })

  test('heartbeats that are answered are told once, those that fail each time', () => {
    using line = serial()
    const call = { type: 'ironic', call: 'heartbeat', nextSeconds: 5 } as const
    for (let i = 0; i < 3; i++) line.publish({ ...call, result: 'answered', reason: null })
    for (let i = 0; i < 2; i++) line.publish({ ...call, result: 'failed', reason: 'no' })
    line.publish({ ...call, result: 'answered', reason: null })
    const lines = line.output().trimEnd().split('\r\n')
    expect(lines.map((each) => each.slice('ironswarm: 00:00:00 '.length))).toEqual([
      'Ironic answers (heartbeat)',
      'Ironic: heartbeat failed: no; again in 5 s',
      'Ironic: heartbeat failed: no; again in 5 s',
      'Ironic answers (heartbeat)',
    ])
  })

  test('is silent once the machine is rescued', () => {
    using line = serial()
    line.publish({ type: 'phase', phase: 'rescued' })
    const before = line.output()
    expect(before).toContain('rescued')
    line.publish({ type: 'phase', phase: 'ending' })
    expect(line.output()).toBe(before)
  })

  test('whatever is said is one line of printable ASCII', () => {
    fc.assert(
      fc.property(newEvents, fc.string({ unit: 'binary' }), (event, words) => {
        using line = serial()
        line.publish(event)
        line.publish({ type: 'machine', facts: { nodeUuid: words } })
        expect(line.output()).toMatch(/^(?:ironswarm: [\x20-\x7E]*\r\n)*$/)
      }),
    )
  })

  test('is told now and then how far the work is, with its step', () => {
    expect(statusLine(stateOf('deploying by swarm'), NOW)).toBe(
      'step 1 of 4: writing the image 48.8% 1.2 GiB/2.5 GiB 101.0 MiB/s ETA 0:13 origin 90.0 MiB peers 1.1 GiB (11 peers) swarm',
    )
    expect(statusLine(stateOf('burning in'), NOW)).toBe(
      'burning in: memory 5.8% 1:23:45/24:00:00 ETA 22:36:15',
    )
    expect(statusLine(stateOf('inspecting'), NOW)).toBe(
      'inspecting the machine: extra-hardware 37.5% 3/8 ETA 0:25',
    )
    expect(statusLine(stateOf('RAID syncs'), NOW)).toContain(
      'RAID /dev/md0 resync 12.3% 12.1 GiB/98.0 GiB 180.0 MiB/s ETA 8:09',
    )
    expect(statusLine(stateOf('waiting for DHCP'), NOW)).toBe(
      'Waiting for the network; eno1: no address yet, asking DHCP',
    )
  })
})
