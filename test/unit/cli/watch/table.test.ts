import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { afterKeys, INITIAL_VIEW } from '../../../../agent/cli/watch/keys.ts'
import {
  answeredRow,
  clean,
  emptyRow,
  silentRow,
  type WatchedNode,
} from '../../../../agent/cli/watch/node-row.ts'
import { createLineShow, createScreenShow } from '../../../../agent/cli/watch/show.ts'
import {
  detailLines,
  plainLine,
  SORT_KEYS,
  shownRows,
  summary,
  tableLines,
} from '../../../../agent/cli/watch/table.ts'
import { createSmallTerminal } from '../../../support/small-terminal.ts'

const node = (name: string, more: Partial<WatchedNode> = {}): WatchedNode => ({
  id: name,
  name,
  url: `http://${name}:9999`,
  provision_state: null,
  error: null,
  ...more,
})
const status = (percent: number, more: object = {}) => ({
  node_uuid: 'u',
  command: 'execute_deploy_step',
  is_seeding: false,
  progress: {
    step: 'fetch',
    done: percent * 10,
    total: 1000,
    percent,
    rate_per_second: 100,
    eta_seconds: 100 - percent,
    bytes: { origin: 5, peers: 7, file: 0 },
    uploaded_bytes: 9,
    peers: 3,
  },
  ...more,
})
const rows = [30, 10, 20].map((percent, i) =>
  answeredRow(node(`node-${i + 8}`), status(percent), 1000),
)
const names = (shown: readonly { name: string }[]) => shown.map(({ name }) => name)

describe('a row', () => {
  test('has what the status says', () => {
    expect(rows[0]).toMatchObject({
      state: 'fetch',
      percent: 30,
      rate: 100,
      eta_seconds: 70,
      from_peers: 7,
      from_origin: 5,
      peers: 3,
      answered_at: 1000,
      no_answer: null,
    })
  })

  test.each([
    ['a command without figures', { progress: null }, 'execute_deploy_step'],
    ['a seed', { command: null, is_seeding: true, progress: null }, 'seeding'],
    ['one that waits', { command: null, progress: null }, 'idle'],
  ])('of %s says so', (_name, more, state) => {
    expect(answeredRow(node('a'), status(1, more), 0).state).toBe(state)
  })

  test('has figures that are no bytes, and arrays that sync beside', () => {
    const progress = { step: 'burn-in', subject: 'cpu', unit: 'seconds', done: 30, total: 120 }
    const array = { array: '/dev/md0', action: 'resync', percent: 12.3, rate_per_second: 1024 }
    const row = answeredRow(
      node('a'),
      {
        command: 'execute_clean_step',
        progress: { ...progress, percent: 25, rate_per_second: 1, eta_seconds: 90 },
        syncing_arrays: [{ ...array, eta_seconds: 60 }],
      },
      1000,
    )
    expect(plainLine(row)).toBe(
      'a burn-in cpu 25% ETA 1:30 [RAID /dev/md0 resync 12% 1.0 KiB/s ETA 1:00]',
    )
    const size = { columns: 80, rows: 25 }
    const detail = detailLines(row, size, 1000).join('\n')
    expect(detail).toMatch(/step +burn-in: cpu\n.*25\.0%\n +0:30 of 2:00\nrate +-, ETA 1:30\n/)
    expect(detail).toContain('RAID         /dev/md0 resync 12% 1.0 KiB/s ETA 1:00')
    const view = { ...INITIAL_VIEW }
    expect(tableLines([row], view, size, null)[1]).not.toContain('B/s')
    expect(summary([row])).toBe('1 node: 1 burn-in')
    const idle = { command: null, progress: null, syncing_arrays: [array] }
    expect(answeredRow(node('b'), idle, 1).state).toBe('RAID syncs')
  })

  test('of an agent that falls silent keeps what it said, and says why', () => {
    const [row] = rows
    const silent = silentRow(
      row as never,
      node('node-8', { provision_state: 'deploying' }),
      'gone\n',
    )
    expect(silent).toMatchObject({ state: 'deploying', percent: 30, rate: 0, no_answer: 'gone' })
    expect(silentRow(silent, node('node-8', { url: null }), 'none')).toMatchObject({ percent: 0 })
  })

  test('is made of any JSON, and shows no control characters', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, text) => {
        const hostile = { ...status(1), command: text, progress: value, failing_trackers: value }
        for (const body of [value, hostile]) {
          const row = answeredRow(node('a'), body, 0)
          expect(row.percent).toBeLessThanOrEqual(100)
          for (const line of detailLines(row, { columns: 80, rows: 24 }, 0)) {
            expect(line).toMatch(/^\P{C}*$/u)
          }
        }
        expect(clean(text)).toMatch(/^\P{C}*$/u)
      }),
    )
  })
})

describe('the table', () => {
  test.each([
    ['name', ['node-8', 'node-9', 'node-10']],
    ['done', ['node-8', 'node-10', 'node-9']],
    ['eta', ['node-9', 'node-10', 'node-8']],
  ] as const)('is ordered by %s', (sort, order) => {
    expect(names(shownRows(rows, { ...INITIAL_VIEW, sort }))).toEqual(order)
    const reversed = shownRows(rows, { ...INITIAL_VIEW, sort, isReversed: true })
    expect(names(reversed)).toEqual(order.toReversed())
  })

  test('shows rows whose name, state or URL has the filter', () => {
    const of = (filter: string) => names(shownRows(rows, { ...INITIAL_VIEW, filter }))
    expect(of('NODE-1')).toEqual(['node-10'])
    expect(of('fetch')).toHaveLength(3)
    expect(of('nowhere')).toEqual([])
  })

  test('at 80 columns has node, state, progress, rate, ETA and peers', () => {
    expect(tableLines(rows, INITIAL_VIEW, { columns: 80, rows: 24 }, null)).toEqual([
      '  node                 state           done         rate     ETA peers',
      '> node-8               fetch            30%      100 B/s    1:10     3',
      '  node-9               fetch            10%      100 B/s    1:30     3',
      '  node-10              fetch            20%      100 B/s    1:20     3',
      '',
      '3 nodes: 3 fetch; 300 B/s',
      'sort name   arrows Enter  s sort  r reverse  / filter  q quit',
    ])
  })

  test('fits any screen, and the selected row of a thousand is on it', () => {
    const many = Array.from({ length: 1000 }, (_, i) => emptyRow(node(`node-${i}`)))
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 250 }),
        fc.integer({ min: 6, max: 100 }),
        fc.nat(1200),
        fc.constantFrom(...SORT_KEYS),
        (columns, height, selected, sort) => {
          const view = { ...INITIAL_VIEW, sort, selected }
          const lines = tableLines(many, view, { columns, rows: height }, null)
          expect(lines.length).toBeLessThanOrEqual(height)
          for (const line of lines) expect(line.length).toBeLessThan(columns)
          expect(lines.filter((line) => line.startsWith('>'))).toHaveLength(1)
        },
      ),
      { numRuns: 30 },
    )
  })

  test('is summed up by states', () => {
    expect(summary([])).toBe('0 nodes')
    expect(summary([emptyRow(node('a', { provision_state: 'active' }))])).toBe('1 node: 1 active')
  })
})

describe('keys', () => {
  const pressed = (typed: string, count = 20) => afterKeys(INITIAL_VIEW, typed, count)
  test.each([
    ['arrows, no further than the last row', '\u001B[B\u001B[B\u001B[A', 5, { selected: 1 }],
    ['a page down in a short table', '\u001B[6~', 5, { selected: 4 }],
    ['letters for arrows', 'jjjk', 5, { selected: 2 }],
    ['nothing where there is no row', 'j\r', 0, { selected: 0, isDetail: false }],
    ['detail and back', '\r', 5, { isDetail: true }],
    ['Esc from detail', '\r\u001B', 5, { isDetail: false }],
    ['the next order, reversed', 'sr', 5, { sort: 'state', isReversed: true }],
    ['a filter', '/ab\u007Fc\rs', 5, { filter: 'ac', isTyping: false, sort: 'state' }],
    ['letters of commands in a filter', '/srq', 5, { filter: 'srq', isOver: false }],
    ['Esc in a filter', '/ab\u001B', 5, { filter: '', isTyping: false }],
    ['the end by q', 'q', 5, { isOver: true }],
    ['the end by Ctrl-C, in a filter too', '/a\u0003', 5, { isOver: true }],
  ])('%s', (_name, typed, count, expected) => {
    expect(pressed(typed, count)).toMatchObject(expected)
  })

  test('take anything that is typed', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(50), (typed, count) => {
        const view = pressed(typed, count)
        expect(view.selected).toBeGreaterThanOrEqual(0)
        expect(view.filter.length).toBeLessThanOrEqual(64)
      }),
    )
  })
})

describe('the screen', () => {
  test('is drawn over, and shows one node after Enter', () => {
    const terminal = Object.assign(createSmallTerminal(80), { rows: 12 })
    let type: (bytes: Uint8Array) => void = () => undefined
    const raw: boolean[] = []
    const keyboard = {
      isTTY: true,
      setRawMode: (isRaw: boolean) => raw.push(isRaw),
      on: (_: 'data', listener: (bytes: Uint8Array) => void) => {
        type = listener
      },
      off: () => undefined,
      resume: () => undefined,
      pause: () => undefined,
    }
    const options = {
      stdout: terminal,
      keyboard,
      sort: 'name',
      filter: '',
      now: () => 3000,
    } as const
    const show = createScreenShow(options)
    show.draw({ rows, notice: null })
    show.draw({ rows: rows.slice(0, 2), notice: 'Ironic does not list its nodes' })
    expect(terminal.lines()).toEqual([
      expect.stringMatching(/^ {2}node/),
      expect.stringMatching(/^> node-8/),
      expect.stringMatching(/^ {2}node-9/),
      '',
      'Ironic does not list its nodes',
      expect.stringMatching(/^sort name/),
    ])
    type(Buffer.from('j\r'))
    expect(terminal.lines().slice(0, 5)).toEqual([
      'node         node-9',
      'id           node-9',
      'agent        http://node-9:9999',
      'Ironic says  not asked',
      'answered     0:02 ago',
    ])
    show[Symbol.dispose]()
    expect(raw).toEqual([true, false])
  })

  test('elsewhere is a line for each change, and one for all now and then', () => {
    let text = ''
    let now = 0
    const stdout = { write: (more: string) => (text += more) }
    const show = createLineShow({
      stdout,
      keyboard: undefined,
      sort: 'name',
      filter: '',
      now: () => now,
    })
    show.draw({ rows: [emptyRow(node('a'))], notice: null })
    now = 2000
    show.draw({ rows, notice: null })
    show.draw({ rows, notice: null })
    now = 11_000
    show.draw({ rows, notice: null })
    expect(text.trim().split('\n')).toEqual([
      '00:00:00 1 node: 1 asking',
      '00:00:02 node-8 fetch 30% 100 B/s ETA 1:10 3 peers',
      '00:00:02 node-9 fetch 10% 100 B/s ETA 1:30 3 peers',
      '00:00:02 node-10 fetch 20% 100 B/s ETA 1:20 3 peers',
      '00:00:11 3 nodes: 3 fetch; 300 B/s',
    ])
  })
})
