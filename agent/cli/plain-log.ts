// SPDX-License-Identifier: Apache-2.0
// Owns log lines as a person reads them, for commands that are typed. JSON stays for machines and for
// --debug. Does not choose what is logged.
import { isObject } from '../core/json.ts'
import type { OutputStream } from '../system/process.ts'
import type { LogStream } from '../telemetry/logger.ts'

/** `ironswarm: warning: source gives up: swarm …`; without what the last line of a failure says anyway. */
export function createPlainLog(stream: OutputStream): LogStream {
  return {
    write: (line) => {
      const record = parse(line)
      // an operation's failure is thrown on and becomes the command's error line
      if (!record || record['result'] === 'FAIL') return
      const { level, msg, warning, tracker, reason, err } = record
      const facts = [warning, tracker, reason, isObject(err) ? err['message'] : undefined]
        .filter((fact) => typeof fact === 'string')
        .map((fact) => `: ${fact}`)
      stream.write(`ironswarm: ${level === 'warn' ? 'warning' : level}: ${msg}${facts.join('')}\n`)
    },
  }
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
