// SPDX-License-Identifier: Apache-2.0
// Owns what keys do to the view of a watch: select, detail, sort, filter, quit. Pure but for the keyboard that is
// listened to. Does not draw.
import { SORT_KEYS, type SortKey, type TableView } from './table.ts'

/** What is typed on; process.stdin is one. */
export interface Keyboard {
  readonly isTTY?: boolean
  setRawMode?(isRaw: boolean): unknown
  on(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  off(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  resume(): unknown
  pause(): unknown
}

export interface WatchView extends TableView {
  /** One node instead of the table. */
  readonly isDetail: boolean
  /** Letters go to the filter. */
  readonly isTyping: boolean
  readonly isOver: boolean
}

export const INITIAL_VIEW: WatchView = {
  sort: 'name',
  isReversed: false,
  filter: '',
  selected: 0,
  isDetail: false,
  isTyping: false,
  isOver: false,
}

const MAX_FILTER = 64
const PAGE = 10

const ESCAPE = '\u001B'
const ENTER = '\r'
const BACKSPACE = '\u007F'
const CTRL_C = '\u0003'

/** One key: a code of arrows and their like, else a letter. */
const KEY = new RegExp(`${ESCAPE}\\[[\\dA-Z;]*[A-Z~]|[\\s\\S]`, 'g')

/** The view after what one read of the keyboard brought. @param rows how many are shown */
export function afterKeys(view: WatchView, typed: string, rows: number): WatchView {
  // keys that come together, and the codes of those that are more than a letter
  const keys = typed.match(KEY) ?? []
  return keys.reduce((after, key) => afterKey(after, key, rows), view)
}

function afterKey(view: WatchView, key: string, rows: number): WatchView {
  if (key === CTRL_C) return { ...view, isOver: true }
  if (view.isTyping) return afterLetter(view, key)
  const select = (by: number) => ({
    ...view,
    selected: Math.max(0, Math.min(rows - 1, Math.min(view.selected, rows - 1) + by)),
  })
  switch (key) {
    case `${ESCAPE}[A`:
    case 'k':
      return select(-1)
    case `${ESCAPE}[B`:
    case 'j':
      return select(1)
    case `${ESCAPE}[5~`:
      return select(-PAGE)
    case `${ESCAPE}[6~`:
      return select(PAGE)
    case ENTER:
      return { ...view, isDetail: rows > 0 && !view.isDetail }
    case ESCAPE:
      return view.isDetail ? { ...view, isDetail: false } : { ...view, filter: '' }
    case 's':
      return { ...view, sort: nextSort(view.sort) }
    case 'r':
      return { ...view, isReversed: !view.isReversed }
    case '/':
      return { ...view, isTyping: true, isDetail: false }
    case 'q':
      return { ...view, isOver: true }
    default:
      return view
  }
}

function afterLetter(view: WatchView, key: string): WatchView {
  if (key === ENTER) return { ...view, isTyping: false }
  if (key === ESCAPE) return { ...view, isTyping: false, filter: '' }
  if (key === BACKSPACE) return { ...view, filter: view.filter.slice(0, -1), selected: 0 }
  if (key.length > 1 || key < ' ') return view
  return { ...view, filter: `${view.filter}${key}`.slice(0, MAX_FILTER), selected: 0 }
}

function nextSort(sort: SortKey): SortKey {
  return SORT_KEYS[(SORT_KEYS.indexOf(sort) + 1) % SORT_KEYS.length] ?? 'name'
}

/** Each read of the keyboard, letter by letter and unseen, until disposed of. */
export function listen(keyboard: Keyboard, on: (typed: string) => void): Disposable {
  const onData = (bytes: Uint8Array) => on(Buffer.from(bytes).toString('utf8'))
  keyboard.setRawMode?.(true)
  keyboard.on('data', onData)
  keyboard.resume()
  return {
    [Symbol.dispose]: () => {
      keyboard.off('data', onData)
      keyboard.setRawMode?.(false)
      keyboard.pause()
    },
  }
}
