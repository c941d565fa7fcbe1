// SPDX-License-Identifier: Apache-2.0
// Owns what a person sees while machines deploy: one line per thing that happens, with the seconds since
// the beginning and the machine's name. Lines only, so that a log file reads the same.
import type { ApiCall } from '../../support/fake-ironic.ts'

/** Progress is shown again when it has moved this much, per cent. */
const PROGRESS_STEP = 20

export interface Screen {
  line(machine: string, text: string): void
  /** A request of an agent: the first ones are news, the 20th heartbeat is not. */
  api(machine: string, call: ApiCall): void
  /** `percent` of a named step; shown when it has moved on. */
  progress(machine: string, step: string, percent: number, more: string): void
}

/** Writes to `out`; `elapsed` in seconds. */
export function createScreen(out: (line: string) => void, elapsed: () => number): Screen {
  const seen = new Set<string>()
  const shownPercent = new Map<string, number>()
  const line = (machine: string, text: string) => {
    out(`${elapsed().toFixed(1).padStart(6)} s  ${machine.padEnd(8)} ${text}`)
  }
  return {
    line,
    api: (machine, { method, path, status }) => {
      const what = path.split('?')[0]?.replace(/[0-9a-f-]{36}/, '…')
      const text = `agent: ${method} ${what} → ${status}`
      if (seen.has(machine + text)) return
      seen.add(machine + text)
      line(machine, text)
    },
    progress: (machine, step, percent, more) => {
      const key = `${machine} ${step}`
      const before = shownPercent.get(key) ?? Number.NEGATIVE_INFINITY
      if (percent < before + PROGRESS_STEP && !(percent >= 100 && before < 100)) return
      shownPercent.set(key, percent)
      line(machine, `${step} ${Math.floor(percent)}% ${more}`.trimEnd())
    },
  }
}
