// SPDX-License-Identifier: Apache-2.0
// Owns the table of nodes as lines: columns that fit, order, filter, the window of rows, one node's detail. Pure.
import {
  formatAmount,
  formatBytes,
  formatCount,
  formatDuration,
  formatPace,
  formatRate,
} from '../../core/units.ts'
import type { NodeRow, RowArray } from './node-row.ts'

export const SORT_KEYS = ['name', 'state', 'done', 'rate', 'eta', 'peers'] as const
export type SortKey = (typeof SORT_KEYS)[number]

export interface TableView {
  readonly sort: SortKey
  readonly isReversed: boolean
  /** Rows whose name, state or URL has it. */
  readonly filter: string
  /** Of the rows that are shown. */
  readonly selected: number
}

export interface Size {
  readonly columns: number
  readonly rows: number
}

interface Column {
  readonly head: string
  readonly width: number
  readonly isText?: boolean
  /** What goes first where there is no room: the highest. */
  readonly rank: number
  cell(row: NodeRow, width: number): string
}

const COLUMNS: readonly Column[] = [
  { head: 'node', width: 20, isText: true, rank: 0, cell: ({ name }) => name },
  { head: 'state', width: 14, isText: true, rank: 0, cell: ({ state }) => state },
  { head: '', width: 22, isText: true, rank: 5, cell: ({ percent }, width) => bar(percent, width) },
  { head: 'done', width: 5, rank: 1, cell: ({ percent }) => `${Math.floor(percent)}%` },
  { head: 'rate', width: 12, rank: 2, cell: (row) => paceOf(row) ?? '-' },
  {
    head: 'ETA',
    width: 7,
    rank: 3,
    cell: ({ eta_seconds: eta }) => formatDuration(eta ?? undefined),
  },
  { head: 'peers', width: 5, rank: 4, cell: ({ peers }) => String(peers) },
  { head: 'from peers', width: 10, rank: 6, cell: ({ from_peers: bytes }) => formatBytes(bytes) },
  { head: 'from origin', width: 11, rank: 7, cell: ({ from_origin: bytes }) => formatBytes(bytes) },
]

const ORDERS: Readonly<Record<SortKey, (a: NodeRow, b: NodeRow) => number>> = {
  name: (a, b) => byText(a.name, b.name),
  state: (a, b) => byText(a.state, b.state),
  done: (a, b) => b.percent - a.percent,
  rate: (a, b) => b.rate - a.rate,
  eta: (a, b) => (b.eta_seconds ?? -1) - (a.eta_seconds ?? -1),
  peers: (a, b) => b.peers - a.peers,
}

/** `node-9` before `node-10`; names decide between equals, so that rows do not jump. */
function byText(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

/** The rows that the filter leaves, in order. */
export function shownRows(rows: readonly NodeRow[], view: TableView): NodeRow[] {
  const wanted = view.filter.toLowerCase()
  const left = rows.filter(({ name, state, url }) =>
    [name, state, url ?? ''].some((text) => text.toLowerCase().includes(wanted)),
  )
  const order = ORDERS[view.sort]
  const sorted = left.sort((a, b) => order(a, b) || byText(a.name, b.name))
  return view.isReversed ? sorted.reverse() : sorted
}

/** A screen full: head, rows around the selected one, and a foot. Each line shorter than the screen is wide. */
export function tableLines(
  rows: readonly NodeRow[],
  view: TableView,
  { columns, rows: height }: Size,
  notice: string | null,
): string[] {
  const shown = shownRows(rows, view)
  const room = Math.max(1, height - 4)
  const selected = Math.min(view.selected, Math.max(0, shown.length - 1))
  const first = Math.max(0, Math.min(selected - Math.floor(room / 2), shown.length - room))
  const fitting = columnsFor(columns - 3)
  const body = shown.slice(first, first + room).map((row, i) => {
    const mark = first + i === selected ? '>' : ' '
    return `${mark} ${line(fitting, (column) => column.cell(row, column.width))}`
  })
  const filter = view.filter === '' ? '' : `, ${shown.length} of them with "${view.filter}"`
  return [
    `  ${line(fitting, ({ head }) => head)}`,
    ...body,
    '',
    notice ?? `${summary(rows)}${filter}`,
    `sort ${view.sort}${view.isReversed ? ' reversed' : ''}   arrows Enter  s sort  r reverse  / filter  q quit`,
  ].map((text) => text.slice(0, Math.max(1, columns - 1)))
}

/** All that is known of one node. */
export function detailLines(row: NodeRow, { columns, rows: height }: Size, now: number): string[] {
  const answered =
    row.answered_at === null ? 'never' : `${formatDuration((now - row.answered_at) / 1000)} ago`
  const facts: [string, string][] = [
    ['node', row.name],
    ['id', row.id],
    ['agent', row.url ?? 'not known'],
    ['Ironic says', row.provision_state ?? 'not asked'],
    ['answered', row.no_answer === null ? answered : `${answered}; ${row.no_answer}`],
    ['command', row.command ?? '-'],
    ['step', [row.step ?? '-', row.subject].filter((word) => word !== null).join(': ')],
    ['done', `${bar(row.percent, 30)} ${row.percent.toFixed(1)}%`],
    ['', `${formatAmount(row.done, row.unit)} of ${formatAmount(row.total, row.unit)}`],
    ['rate', `${paceOf(row) ?? '-'}, ETA ${formatDuration(row.eta_seconds ?? undefined)}`],
    ['from peers', `${formatBytes(row.from_peers)} (${peersOf(row)})`],
    ['from origin', formatBytes(row.from_origin)],
    ['uploaded', formatBytes(row.uploaded_bytes)],
    ...row.syncing_arrays.map((array): [string, string] => ['RAID', arrayWords(array)]),
    ...row.failing_trackers.map((text): [string, string] => ['tracker', text]),
    ...row.left_out_hardware_managers.map((text): [string, string] => ['left out', text]),
    ...(row.error === null ? [] : [['last error', row.error] as [string, string]]),
  ]
  const lines = facts.map(([name, value]) => `${name.padEnd(12)} ${value}`)
  return [...lines.slice(0, Math.max(1, height - 2)), '', 'Esc back  q quit'].map((text) =>
    text.slice(0, Math.max(1, columns - 1)),
  )
}

/** `1000 nodes: 900 fetch, 97 seeding, 3 no answer; 12.3 GiB/s`. */
export function summary(rows: readonly NodeRow[]): string {
  const counts = new Map<string, number>()
  for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1)
  const states = [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([state, count]) => `${count} ${state}`)
  const rate = rows.reduce((sum, row) => sum + (row.unit === 'bytes' ? row.rate : 0), 0)
  const nodes = `${rows.length} ${rows.length === 1 ? 'node' : 'nodes'}`
  return `${nodes}${states.length > 0 ? `: ${states.join(', ')}` : ''}${rate > 0 ? `; ${formatRate(rate)}` : ''}`
}

/** `node-1 fetch 42% 50.0 MiB/s ETA 0:03 4 peers`: for where nothing is written over. */
export function plainLine(row: NodeRow): string {
  const { name, state, percent, eta_seconds: eta, peers, no_answer: silence } = row
  const pace = paceOf(row)
  return [
    name,
    state,
    ...(row.subject === null ? [] : [row.subject]),
    ...(row.total > 0 ? [`${Math.floor(percent)}%`] : []),
    ...(pace === null ? [] : [pace]),
    ...(row.rate > 0 ? [`ETA ${formatDuration(eta ?? undefined)}`] : []),
    ...(peers > 0 ? [peersOf(row)] : []),
    ...row.syncing_arrays.map((array) => `[RAID ${arrayWords(array)}]`),
    ...(silence === null ? [] : [`(${silence})`]),
  ].join(' ')
}

/** Null where nothing moves, and where no rate makes sense. */
function paceOf({ rate, unit }: NodeRow): string | null {
  return rate > 0 ? formatPace(rate, unit) : null
}

/** `/dev/md0 resync 12% 100.0 MiB/s ETA 3:02`. */
function arrayWords({ array, action, percent, rate, eta_seconds: eta }: RowArray): string {
  const left = `ETA ${formatDuration(eta ?? undefined)}`
  return `${array} ${action} ${Math.floor(percent)}% ${formatRate(rate)} ${left}`
}

function peersOf({ peers }: NodeRow): string {
  return formatCount(peers, 'peer')
}

function columnsFor(room: number): readonly Column[] {
  let fitting = COLUMNS
  const width = () => fitting.reduce((sum, column) => sum + column.width + 1, -1)
  while (width() > room && fitting.length > 2) {
    const last = Math.max(...fitting.map(({ rank }) => rank))
    fitting = fitting.filter(({ rank }) => rank !== last)
  }
  return fitting
}

function line(columns: readonly Column[], cell: (column: Column) => string): string {
  return columns
    .map((column) => {
      const text = cell(column).slice(0, column.width)
      return column.isText ? text.padEnd(column.width) : text.padStart(column.width)
    })
    .join(' ')
    .trimEnd()
}

function bar(percent: number, width: number): string {
  const inner = width - 2
  const filled = Math.round((Math.min(Math.max(percent, 0), 100) / 100) * inner)
  return `[${'#'.repeat(filled)}${'-'.repeat(inner - filled)}]`
}
