// SPDX-License-Identifier: Apache-2.0
// Owns what a machine has said on its serial console: a file that QEMU appends to over all boots of the
// machine, and waiting for words in it. Does not know what the words mean.
import { appendFile, open, readFile, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'

const LOOK_EVERY_MS = 150
/** Of the log's end, in the message of a wait that failed. */
const TAIL_LINES = 15

export interface WaitOptions {
  readonly timeoutMs: number
  /** Byte offset to look from: what `end()` gave before; default: the whole log. */
  readonly from?: number
  readonly signal?: AbortSignal | undefined
}

export interface SerialLog {
  readonly path: string
  /** Bytes so far. */
  end(): Promise<number>
  /** The log from a byte offset on, terminal control sequences taken out. */
  text(from?: number): Promise<string>
  /**
   * Resolves with the first match. Throws when the time is up, with the end of the log in the message.
   */
  waitFor(marker: RegExp, options: WaitOptions): Promise<RegExpExecArray>
  /** Adds a line of our own, e.g. which boot begins here. */
  note(text: string): Promise<void>
}

/** The log at `path`; the file need not exist yet. */
export function createSerialLog(path: string): SerialLog {
  const text = async (from = 0): Promise<string> => {
    try {
      if (from === 0) return plainText(await readFile(path))
      await using file = await open(path)
      const { size } = await file.stat()
      const bytes = Buffer.alloc(Math.max(size - from, 0))
      const { bytesRead } = await file.read(bytes, 0, bytes.length, from)
      return plainText(bytes.subarray(0, bytesRead))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
      throw error
    }
  }
  return {
    path,
    text,
    end: async () => (await stat(path).catch(() => ({ size: 0 }))).size,
    note: (line) => appendFile(path, `\n==== ${new Date().toISOString()} ${line}\n`),
    waitFor: async (marker, { timeoutMs, from = 0, signal }) => {
      const deadline = performance.now() + timeoutMs
      for (;;) {
        const found = marker.exec(await text(from))
        if (found) return found
        signal?.throwIfAborted()
        if (performance.now() > deadline) {
          const tail = (await text(from)).trimEnd().split('\n').slice(-TAIL_LINES).join('\n')
          throw new Error(
            `no ${marker} on the serial console within ${timeoutMs / 1000} s; ${path} ends with:\n${tail}`,
          )
        }
        await delay(LOOK_EVERY_MS, undefined, { signal })
      }
    },
  }
}

/** Without carriage returns and ANSI sequences: firmware paints its screens with them. */
export function plainText(bytes: Uint8Array): string {
  const text = new TextDecoder('latin1').decode(bytes)
  return stripVTControlCharacters(text).replaceAll('\r', '')
}
