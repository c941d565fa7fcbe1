// SPDX-License-Identifier: Apache-2.0
// Owns log lines as a person reads them, for commands that are typed. JSON stays for machines and for
// --debug. Does not choose what is logged.
import { oneLine } from '../../core/cut-text.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import type { LogStream } from '../../telemetry/logger.ts'

/** Where lines go; of the same `kind` one may take the place of the last. */
export type TellPerson = (text: string, kind?: string) => void

/** The one line below a warning that a person is told: something is tried again. */
const TRIED_AGAIN = 'image url asked again'
/** Told by the line above each time but the last. */
const FAILED = 'image url failed'

/** `ironswarm: warning: source gives up: swarm …`; without what the last line of a failure says anyway. */
export function createPlainLog(tell: TellPerson): LogStream {
  return {
    write: (line) => {
      const record = parse(line)
      // an operation's failure is thrown on and becomes the command's error line
      if (!record || record['result'] === 'FAIL') return
      const { level, msg } = record
      if (msg === TRIED_AGAIN) return tell(attemptLine(record), `${TRIED_AGAIN} ${record['url']}`)
      if (level === 'info' || (msg === FAILED && record['ruled_out'] !== true)) return
      tell(oneLine(`ironswarm: ${level === 'warn' ? 'warning' : level}: ${msg}${factsOf(record)}`))
    },
  }
}

/** `ironswarm: http://h/i: connection refused; attempt 3 of 10, again in 5 s`. */
function attemptLine({ url, reason, attempt, attempts, wait_ms: waitMs }: JsonObject): string {
  const seconds = Math.ceil(Number(waitMs) / 1000)
  const why = String(reason).startsWith(String(url)) ? reason : `${url}: ${reason}`
  return `ironswarm: ${why}; attempt ${attempt} of ${attempts}, again in ${seconds} s`
}

function factsOf({ warning, tracker, url, reason, err }: JsonObject): string {
  const facts = [warning, tracker, url, reason, isObject(err) ? err['message'] : undefined]
  return facts
    .filter((fact) => typeof fact === 'string')
    .filter((fact, i, all) => !all.slice(i + 1).some((later) => later.startsWith(fact)))
    .map((fact) => `: ${fact}`)
    .join('')
}

function parse(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
