// SPDX-License-Identifier: Apache-2.0
// Owns a server that answers as a recorded one did, call by call in the recorded order, and notes what it was asked. Whether that
// is what was asked then, the test says.
import { readFileSync } from 'node:fs'
import { type Exchange, listenAs } from './tap.ts'

/** What a trace has of a call. */
export type Asked = Pick<Exchange, 'method' | 'path' | 'headers' | 'body'>

export interface ReplayServer extends AsyncDisposable {
  readonly url: string
  readonly asked: readonly Asked[]
}

export function readTrace(file: string): Exchange[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Exchange)
}

export function askedOf({ method, path, headers, body }: Exchange): Asked {
  return { method, path, headers, body }
}

/** A call beyond the last recorded one is answered 404. */
export async function openReplayServer(recorded: readonly Exchange[]): Promise<ReplayServer> {
  const asked: Asked[] = []
  const server = await listenAs(async ({ text: _, ...call }) => {
    const { status, resp } = recorded[asked.length] ?? { status: 404, resp: null }
    asked.push(call)
    return {
      status,
      headers: { 'content-type': 'application/json' },
      text: resp === null ? '' : JSON.stringify(resp),
    }
  })
  return { ...server, asked }
}
