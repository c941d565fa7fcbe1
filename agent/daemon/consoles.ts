// SPDX-License-Identifier: Apache-2.0
// Owns which screens and serial lines show the progress of the agent. Does not know what is shown.
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { messageOf } from '../core/errors.ts'
import type { OutputStream } from '../system/process.ts'
import { showProgress } from '../telemetry/console.ts'
import type { EventReader } from '../telemetry/event-stream.ts'
import type { Logger } from '../telemetry/logger.ts'

/** Serial lines are terminals to Linux, but nobody wants escape codes in a BMC's console log. */
const SERIAL_LINE = /\/(ttyS|ttyAMA|ttyUSB|hvc)\d+$/

/**
 * One progress line per device of option `consoles`, and one on stderr where that is a terminal. A device
 * that cannot be opened or written is a warning: nobody may wait for a screen.
 */
export function openConsoles(options: {
  readonly paths: readonly string[]
  readonly stderr: OutputStream
  readonly now: () => number
  readonly events: Pick<EventReader, 'subscribe'>
  readonly log: Logger
}): Disposable {
  const { paths, stderr, now, events, log } = options
  const consoles = new DisposableStack()
  if (stderr.isTTY) {
    consoles.use(showProgress(events, { stream: stderr, now, ...sizeOf(stderr) }))
  }
  for (const path of paths) {
    try {
      // NONBLOCK and no controlling terminal: a serial line without a reader must not stop the agent
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
      consoles.defer(() => closeSync(fd))
      const stream = { write: (text: string) => writeIfRoom(fd, text) }
      consoles.use(showProgress(events, { stream, now, isTty: !SERIAL_LINE.test(path) }))
    } catch (error) {
      log.warn({ console: path, reason: messageOf(error) }, 'console not opened')
    }
  }
  return consoles
}

function sizeOf(stream: OutputStream) {
  return { isTty: true, ...(stream.columns === undefined ? {} : { columns: stream.columns }) }
}

/** A line that does not fit into the device's buffer is lost; the next one is newer anyway. */
function writeIfRoom(fd: number, text: string): void {
  try {
    writeSync(fd, text)
  } catch {
    // EAGAIN, EIO of an unplugged line
  }
}
