// SPDX-License-Identifier: Apache-2.0
// Owns which screens and serial lines show the agent, and the keys that are pressed at them. Does not know what is
// shown: telemetry/screen/ does.
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { isatty, ReadStream, WriteStream } from 'node:tty'
import { messageOf } from '../core/errors.ts'
import type { OutputStream } from '../system/process.ts'
import { showProgress } from '../telemetry/console.ts'
import type { EventReader } from '../telemetry/event-stream.ts'
import { readableLines } from '../telemetry/screen/log-lines.ts'
import { openPlainLines } from '../telemetry/screen/plain-lines.ts'
import { renderScreen, type ScreenPage, type ScreenSize } from '../telemetry/screen/screen.ts'
import { openTextScreen } from '../telemetry/screen/tty-screen.ts'
import { viewOf } from '../telemetry/view/view.ts'

/** Serial lines are terminals to Linux, but nobody wants escape codes in a BMC's console log. */
const SERIAL_LINE = /\/(ttyS|ttyAMA|ttyUSB|hvc)\d+$/
const SCREEN: ScreenSize = { columns: 80, rows: 25 }
const PAGES: Readonly<Record<string, ScreenPage>> = { f: 'facts', l: 'log', n: 'network' }
/** Who walks by later wants to see what is done, ms. */
const PAGE_MS = 60_000
// NONBLOCK and no controlling terminal: a serial line without a reader must not stop the agent
const OPEN_FLAGS = constants.O_NONBLOCK | constants.O_NOCTTY

export interface ConsolesOptions {
  readonly paths: readonly string[]
  readonly stderr: OutputStream
  /** Wall clock, ms. */
  readonly now: () => number
  readonly events: Pick<EventReader, 'subscribe' | 'snapshot'>
  /** The last lines of the log, JSON. */
  readonly recentLog: () => string
}

export interface Consoles extends Disposable {
  readonly notOpened: readonly { readonly console: string; readonly reason: string }[]
  /** Calls `on` when somebody wants Ironic to be asked at once, until disposed of. */
  onRetry(on: () => void): Disposable
}

/**
 * A screen that is drawn in place, or plain lines, for each device of option `consoles`, and a progress line on stderr
 * where that is a terminal. They let go by themselves once the machine is rescued. A device that cannot be opened or
 * written keeps nobody waiting.
 */
export function openConsoles(options: ConsolesOptions): Consoles {
  const { paths, stderr, events } = options
  const consoles = new DisposableStack()
  const notOpened: { console: string; reason: string }[] = []
  const retries = new Set<() => void>()
  const retry = () => {
    for (const on of retries) on()
  }
  if (stderr.isTTY) {
    const now = () => performance.now()
    consoles.use(showProgress(events, { stream: stderr, now, ...sizeOf(stderr) }))
  }
  for (const path of paths) {
    try {
      consoles.use(
        SERIAL_LINE.test(path) ? openSerial(path, options) : openScreen(path, options, retry),
      )
    } catch (error) {
      notOpened.push({ console: path, reason: messageOf(error) })
    }
  }
  return {
    notOpened,
    onRetry: (on) => {
      retries.add(on)
      return { [Symbol.dispose]: () => void retries.delete(on) }
    },
    [Symbol.dispose]: () => consoles.dispose(),
  }
}

function openSerial(path: string, { events, now }: ConsolesOptions): Disposable {
  const fd = openSync(path, constants.O_WRONLY | OPEN_FLAGS)
  const lines = openPlainLines({ write: (text) => writeIfRoom(fd, text), events, now })
  return {
    [Symbol.dispose]: () => {
      lines[Symbol.dispose]()
      closeSync(fd)
    },
  }
}

function openScreen(path: string, options: ConsolesOptions, onRetry: () => void): Disposable {
  const { events, now, recentLog } = options
  const fd = openSync(path, constants.O_WRONLY | OPEN_FLAGS)
  const isTerminal = isatty(fd)
  const { columns, rows } = isTerminal ? sizeOfTerminal(path) : SCREEN
  let page: ScreenPage = 'now'
  let pageAt = 0
  const keys =
    (isTerminal || undefined) &&
    openKeys(path, (key) => {
      if (key === 'r') onRetry()
      page = PAGES[key] ?? 'now'
      pageAt = performance.now()
      screen.refresh()
    })
  let isOpen = true
  const screen = openTextScreen({
    write: (text) => writeIfRoom(fd, text),
    render: () => {
      if (performance.now() - pageAt > PAGE_MS) page = 'now'
      return renderScreen(viewOf(events.snapshot(), now()), {
        ...{ columns, rows, page, hasKeys: keys !== undefined && isOpen },
        log: page === 'log' ? readableLines(recentLog(), rows) : [],
        clock: new Date(now()).toISOString().slice(11, 19),
      })
    },
  })
  const close = () => {
    if (!isOpen) return
    isOpen = false
    keys?.[Symbol.dispose]()
    screen[Symbol.dispose]()
    subscription[Symbol.dispose]()
    closeSync(fd)
  }
  // a login may come next
  const subscription = events.subscribe((event) => {
    if (event.type === 'phase' && event.phase === 'rescued') close()
  })
  return { [Symbol.dispose]: close }
}

/**
 * By a file of its own: what has been a WriteStream blocks from then on, and a screen that somebody holds (Scroll Lock,
 * tcflow(3)) would hold the agent.
 */
function sizeOfTerminal(path: string): ScreenSize {
  const probe = new WriteStream(openSync(path, constants.O_WRONLY | OPEN_FLAGS))
  probe.on('error', () => undefined)
  const columns = Math.min(probe.columns || SCREEN.columns, SCREEN.columns)
  const rows = Math.min(probe.rows || SCREEN.rows, SCREEN.rows)
  probe.destroy()
  return { columns, rows }
}

/** Undefined where no key can be read. */
function openKeys(path: string, onKey: (key: string) => void): Disposable | undefined {
  try {
    const input = new ReadStream(openSync(path, constants.O_RDONLY | OPEN_FLAGS))
    input.on('error', () => undefined)
    input.setRawMode(true)
    input.on('data', (bytes) => onKey(bytes.toString('latin1').charAt(0).toLowerCase()))
    input.unref()
    return {
      [Symbol.dispose]: () => {
        input.setRawMode(false)
        input.destroy()
      },
    }
  } catch {
    return undefined
  }
}

function sizeOf(stream: OutputStream) {
  return { isTty: true, ...(stream.columns === undefined ? {} : { columns: stream.columns }) }
}

/** What does not fit into the device's buffer is lost; what comes next is newer anyway. */
function writeIfRoom(fd: number, text: string): void {
  try {
    writeSync(fd, text)
  } catch {
    // EAGAIN, EIO of an unplugged line
  }
}
