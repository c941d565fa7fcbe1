// SPDX-License-Identifier: Apache-2.0
// Owns what a check of `ironswarm doctor` finds, and how it is written. Does not check.

/** `ok` works · `warn` works, but slower or with less · `fail` a deploy would fail here · `skip` was not looked at. */
export type Verdict = 'ok' | 'warn' | 'fail' | 'skip'

export interface Finding {
  /** One word, the same for each thing of a kind: `disk`, `tracker`. */
  readonly check: string
  readonly verdict: Verdict
  /** What was found, in figures. */
  readonly found: string
  /** What to do; null where there is nothing. */
  readonly to_do: string | null
}

export function ok(check: string, found: string): Finding {
  return { check, verdict: 'ok', found, to_do: null }
}

export function warn(check: string, found: string, toDo: string): Finding {
  return { check, verdict: 'warn', found, to_do: toDo }
}

export function fail(check: string, found: string, toDo: string): Finding {
  return { check, verdict: 'fail', found, to_do: toDo }
}

/** @param toDo how to have it looked at */
export function skip(check: string, toDo: string): Finding {
  return { check, verdict: 'skip', found: 'not looked at', to_do: toDo }
}

/** `fail  tracker   http://…: no connection`, and what to do on a line of its own. */
export function findingLines({ check, verdict, found, to_do: toDo }: Finding): string[] {
  const head = `${verdict.padEnd(5)} ${check.padEnd(9)}`
  return [`${head} ${found}`, ...(toDo === null ? [] : [`${' '.repeat(15)} ${toDo}`])]
}
