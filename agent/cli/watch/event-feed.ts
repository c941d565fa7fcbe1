// SPDX-License-Identifier: Apache-2.0
// Owns hearing from one agent that something has happened: its stream of events (Server-Sent Events, HTML Standard 9.2),
// of which the ids and the ends of events are read and the rest is dropped. What has happened /v1/status says.
import type { HttpClient } from '../../http/client.ts'
import { HttpFailure } from '../../http/failure.ts'

export interface FeedOptions {
  readonly client: HttpClient
  readonly signal: AbortSignal
  /** Of the last event that was heard, to be told what was missed. */
  readonly lastEventId: string | null
  /** The agent answers: from now on nothing is missed. */
  readonly onLive: () => void
  /** An event has come. @param id undefined where it has none */
  readonly onEvent: (id: string | undefined) => void
}

/** `over` it was there, or will be · `full` too many others read it · `none` this agent has no such stream */
export type FeedEnd = 'over' | 'full' | 'none'

/** A comment comes every 10 s, so that silence is an end. */
const SILENCE_MS = 35_000
/** Of a line; an id has some twenty characters. */
const MOST_LINE_CHARS = 200

/** Listens until the stream, the agent or the signal ends. Never throws. */
export async function listenToEvents(url: string, options: FeedOptions): Promise<FeedEnd> {
  const { client, signal, lastEventId, onLive, onEvent } = options
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === null ? {} : { 'last-event-id': lastEventId }),
  }
  let end: FeedEnd = 'over'
  const take = createEventLines(onEvent)
  const request = { headers, signal, isLast: true, readTimeoutMs: SILENCE_MS }
  try {
    await client.stream(`${url}/v1/events`, request, {
      onHead: (head, flow) => {
        end = judge(head)
        if (end === 'over') onLive()
        else flow.stop()
      },
      onBytes: (bytes) => {
        if (end === 'over') take(bytes)
      },
    })
  } catch (error) {
    // an answer that is none of HTTP's comes from no agent of ours
    if (error instanceof HttpFailure && error.reason === 'protocol') return 'none'
  }
  return end
}

function judge({
  status,
  headers,
}: {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}): FeedEnd {
  if (status === 429 || status >= 500) return 'full'
  const isStream = String(headers['content-type']).startsWith('text/event-stream')
  return status === 200 && isStream ? 'over' : 'none'
}

/** Keeps no more than the beginning of a line, however long it is. */
export function createEventLines(
  onEvent: (id: string | undefined) => void,
): (bytes: Uint8Array) => void {
  let line = ''
  let id: string | undefined
  let hasData = false
  const endLine = () => {
    if (line.startsWith('id:')) id = line.slice(3).trim()
    else if (line.startsWith('data:')) hasData = true
    else if (line.replace('\r', '') === '') {
      if (hasData) onEvent(id)
      hasData = false
      id = undefined
    }
    line = ''
  }
  return (bytes) => {
    for (let at = 0; at < bytes.length; ) {
      const newline = bytes.indexOf(0x0a, at)
      const end = newline < 0 ? bytes.length : newline
      const room = MOST_LINE_CHARS - line.length
      if (room > 0)
        line += Buffer.from(bytes.subarray(at, Math.min(end, at + room))).toString('latin1')
      if (newline < 0) return
      endLine()
      at = newline + 1
    }
  }
}
