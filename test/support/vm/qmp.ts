// SPDX-License-Identifier: Apache-2.0
// Owns the conversation with QEMU's monitor (QMP, qemu/docs/interop/qmp-spec): one JSON object per line
// over the process's stdin and stdout. Does not know machines.
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

const ANSWER_TIMEOUT_MS = 30_000

export interface QmpEvent {
  readonly event: string
  readonly data?: Record<string, unknown>
}

export interface Qmp {
  /** Runs a command; throws with QEMU's words if it is refused, or when QEMU is gone. */
  execute(command: string, commandArguments?: Record<string, unknown>): Promise<unknown>
}

interface Answer {
  readonly id?: number
  readonly return?: unknown
  readonly error?: { readonly desc: string }
}

/** Speaks QMP over these streams; `onEvent` gets what QEMU tells unasked. */
export function createQmp(
  { stdin, stdout }: { stdin: Writable; stdout: Readable },
  onEvent: (event: QmpEvent) => void,
): Qmp {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let nextId = 1
  let isClosed = false
  const lines = createInterface({ input: stdout })
  lines.on('line', (line) => {
    const message = parseLine(line)
    if ('event' in message) return onEvent(message as unknown as QmpEvent)
    const { id, error, return: result } = message as Answer
    const asked = id === undefined ? undefined : waiting.get(id)
    if (id === undefined || !asked) return
    waiting.delete(id)
    if (error) asked.reject(new Error(`QEMU refused: ${error.desc}`))
    else asked.resolve(result)
  })
  lines.on('close', () => {
    isClosed = true
    for (const asked of waiting.values()) asked.reject(new Error('QEMU has ended'))
    waiting.clear()
  })
  // QEMU may be killed while we write
  stdin.on('error', () => {})
  const execute: Qmp['execute'] = async (command, commandArguments) => {
    if (isClosed) throw new Error('QEMU has ended')
    const id = nextId++
    const asked = Promise.withResolvers<unknown>()
    waiting.set(id, asked)
    const timer = setTimeout(
      () => asked.reject(new Error(`QEMU did not answer ${command}`)),
      ANSWER_TIMEOUT_MS,
    )
    const more = commandArguments ? { arguments: commandArguments } : {}
    stdin.write(`${JSON.stringify({ execute: command, ...more, id })}\n`)
    try {
      return await asked.promise
    } finally {
      clearTimeout(timer)
      waiting.delete(id)
    }
  }
  // commands are taken, and events told, only after this one; if QEMU ends first, its exit says why
  execute('qmp_capabilities').catch(() => {})
  return { execute }
}

function parseLine(line: string): object {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
