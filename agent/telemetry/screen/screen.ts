// SPDX-License-Identifier: Apache-2.0
// Owns what the screen at the rack shows, line by line, made of the view: a pure function of view, size and page. Does
// not draw (tty-screen.ts) and reads no key.
import type { SyncingArray } from '../../core/events.ts'
import { formatBytes, formatCount, formatRate } from '../../core/units.ts'
import { describeSync } from '../console.ts'
import type { Trouble, View, Work } from '../view/view.ts'
import { edges, flowed, line, type ScreenLine, wrapped } from './lines.ts'

export interface ScreenSize {
  readonly columns: number
  readonly rows: number
}

/** `now` unless a key has asked for another one. */
export type ScreenPage = 'now' | 'facts' | 'log' | 'network'

export interface ScreenOptions extends ScreenSize {
  readonly page: ScreenPage
  /** The last lines of the log, oldest first. */
  readonly log: readonly string[]
  readonly hasKeys: boolean
  /** `19:02:11`. */
  readonly clock: string
}

/** On the first page. */
const MOST_LINKS = 4
const MOST_ARRAYS = 2
const MOST_IRONIC_LINES = 3
const MOST_REASON_LINES = 8

type Lines = readonly ScreenLine[]

/** Exactly `rows` lines. What does not fit between head and foot is left out at the end. */
export function renderScreen(view: View, options: ScreenOptions): Lines {
  const { columns, rows } = options
  const blank = line('', columns)
  const foot = line(footOf(options), columns, 'soft')
  const head = headOf(view, columns)
  const room = Math.max(0, rows - head.length - 2)
  const body = PAGES[options.page](view, { ...options, rows: room }).slice(0, room)
  const filler = Array.from({ length: room - body.length }, () => blank)
  return [...head, blank, ...body, ...filler, foot].slice(0, rows)
}

const PAGES: Readonly<Record<ScreenPage, (view: View, options: ScreenOptions) => Lines>> = {
  now: nowPage,
  facts: factsPage,
  log: ({ title }, { log, rows, columns }) => [
    line(` Log of ${title}`, columns, 'bold'),
    ...indented(log.slice(-Math.max(0, rows - 1)), columns),
  ],
  network: networkPage,
}

function headOf({ title, nodeUuid, version }: View, columns: number): Lines {
  const bar = edges(` ${title}`, `ironswarm ${version} `, columns).padEnd(columns)
  return [
    { text: bar, style: 'bar' },
    line(` ${nodeUuid ?? 'node not known yet'}`, columns, 'soft'),
  ]
}

function footOf({ page, hasKeys, clock, columns }: ScreenOptions): string {
  if (!hasKeys) return edges('', `${clock} `, columns)
  const short = columns < 60
  const keys = short ? 'F L N pages, R retry' : 'F facts   L log   N network   R ask Ironic again'
  return edges(
    page === 'now' ? ` ${keys}` : ` Any key: back   ${short ? '' : keys}`,
    `${clock} `,
    columns,
  )
}

function nowPage(view: View, { columns, rows }: ScreenOptions): Lines {
  const { headline, tone, detail, work, trouble, torrent, syncing } = view
  const style = tone === 'wrong' ? 'wrong' : tone === 'waiting' ? 'wait' : 'bold'
  const step = work?.step ? `step ${work.step.n} of ${work.step.of}` : ''
  const lines = [
    ...linksLines(view, columns),
    ...ironicLines(view, columns),
    rule(columns),
    line(edges(` ${headline}`, step, columns - 1), columns, style),
    ...(detail === null ? [] : indented(wrapped(detail, columns - 2, 2), columns)),
    ...(work ? workLines(work, columns) : []),
    ...(torrent ? torrentLines(torrent, columns) : []),
    ...syncing.slice(0, MOST_ARRAYS).flatMap((array) => arrayLines(array, columns)),
  ]
  if (!trouble) return lines
  return [...lines, rule(columns), ...troubleLines(trouble, columns, rows - lines.length - 1)]
}

function rule(columns: number): ScreenLine {
  return { text: '─'.repeat(columns), style: 'soft' }
}

function indented(texts: readonly string[], columns: number): Lines {
  return texts.map((text) => line(` ${text}`, columns))
}

function linksLines({ links }: View, columns: number): Lines {
  if (links.length === 0) return [line(' no network interface yet', columns)]
  // those with a cable first: the others are seldom the question
  const sorted = [...links].sort((a, b) => Number(b.hasCarrier) - Number(a.hasCarrier))
  return sorted.slice(0, MOST_LINKS).map(({ name, mac, hasCarrier, addresses }) => {
    const state = !hasCarrier ? 'no link' : (addresses[0] ?? 'no address yet')
    const words = columns < 60 ? [name, state] : [name.padEnd(10), mac, state]
    return line(` ${words.join('  ')}`, columns)
  })
}

function ironicLines({ ironic: { url, words, isWell, remedy } }: View, columns: number): Lines {
  const text = columns < 60 || url === null ? `Ironic ${words}` : `Ironic ${url} ${words}`
  const style = isWell ? 'plain' : 'wrong'
  return [
    ...wrapped(text, columns - 2, MOST_IRONIC_LINES).map((each) =>
      line(` ${each}`, columns, style),
    ),
    ...remedyLines(remedy, columns),
  ]
}

function remedyLines(remedy: string | null, columns: number): Lines {
  if (remedy === null) return []
  return wrapped(`> ${remedy}`, columns - 2, 2).map((each) => line(` ${each}`, columns, 'bold'))
}

function workLines(work: Work, columns: number): Lines {
  const { percent, bytes } = work
  const figures = [
    ...(percent === null ? [] : [`${work.done} of ${work.total}`, work.rate, `${work.eta} left`]),
    work.elapsed && `for ${work.elapsed}`,
  ].filter((text) => text !== null)
  const origins = bytes
    ? [
        `peers ${formatBytes(bytes.peers)}`,
        `origin ${formatBytes(bytes.origin + bytes.file)}`,
        formatCount(work.peers, 'peer'),
        `uploaded ${work.uploaded}`,
      ]
    : []
  return [
    ...(percent === null ? [] : [line(` ${barOf(percent, columns - 2)}`, columns, 'bold')]),
    ...indented(flowed(figures, columns - 2), columns),
    ...indented(flowed(origins, columns - 2), columns),
  ]
}

/** `█████░░░░░  48.8%`. */
export function barOf(percent: number, columns: number): string {
  const label = ` ${percent.toFixed(1).padStart(5)}%`
  const width = Math.max(0, columns - label.length)
  const full = Math.floor((width * percent) / 100)
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}${label}`
}

function torrentLines(
  { state, pieces, peers, rates, trackers }: NonNullable<View['torrent']>,
  columns: number,
): Lines {
  const answering = trackers.filter((tracker) => tracker.state === 'answering').length
  const words = [
    `swarm ${state}: ${pieces.done} of ${pieces.total} pieces`,
    formatCount(peers, 'peer'),
    `down ${formatRate(rates.peers + rates.origin)}`,
    `up ${formatRate(rates.uploaded)}`,
    `trackers ${answering} of ${trackers.length}`,
  ]
  return indented(flowed(words, columns - 2), columns)
}

function arrayLines(array: SyncingArray, columns: number): Lines {
  return indented(wrapped(describeSync(array), columns - 2, 2), columns)
}

/** What to do is seen however long the reason is; a short one where there is no room for more. */
function troubleLines(
  { kind, type, text, remedy, ago }: Trouble,
  columns: number,
  room: number,
): Lines {
  const style = kind === 'failure' ? 'wrong' : 'wait'
  const todo = remedyLines(remedy, columns)
  const most = Math.min(MOST_REASON_LINES, Math.max(1, room - 1 - todo.length))
  const head = `${kind === 'failure' ? 'Failed' : 'Warning'} ${ago}: ${type}`
  return [
    line(` ${head}`, columns, style),
    ...indented(wrapped(text, columns - 2, most), columns),
    ...todo,
  ]
}

function factsPage({ machine }: View, { columns }: ScreenOptions): Lines {
  const { model, cpus, memoryMib, disks = [], hostname } = machine
  const facts: (readonly [string, string | undefined])[] = [
    ['Machine', model],
    ['Processors', cpus?.toString()],
    ['Memory', memoryMib === undefined ? undefined : formatBytes(memoryMib * 1024 * 1024)],
    ['Host name', hostname],
    ...disks.map(
      ({ name, sizeBytes, model: type }) => [name, `${formatBytes(sizeBytes)}  ${type}`] as const,
    ),
  ]
  return [
    line(' Facts', columns, 'bold'),
    ...facts.map(([name, value]) => line(` ${name.padEnd(14)} ${value ?? '-'}`, columns)),
  ]
}

function networkPage({ links, ironic, machine }: View, { columns }: ScreenOptions): Lines {
  return [
    line(' Network', columns, 'bold'),
    ...links.flatMap(({ name, mac, hasCarrier, addresses }) => [
      line(` ${name}  ${mac}  ${hasCarrier ? 'up' : 'no link'}`, columns),
      ...addresses.map((address) => line(`   ${address}`, columns)),
    ]),
    line('', columns),
    ...indented(wrapped(`Ironic ${ironic.url ?? ''}`, columns - 2, 2), columns),
    ...indented(wrapped(ironic.words, columns - 2, 3), columns),
    ...(machine.callbackUrl === undefined
      ? []
      : indented(wrapped(`called back at ${machine.callbackUrl}`, columns - 2, 2), columns)),
  ]
}
