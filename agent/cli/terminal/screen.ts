// SPDX-License-Identifier: Apache-2.0
// Owns what a person sees of a command that takes a while: progress, and above it what is said once. Does not
// know how progress reads (progress-line.ts) nor how a line is written over (output.ts).
import { stepOf } from '../../core/agent-state.ts'
import type { Progress } from '../../core/events.ts'
import type { Process } from '../../system/process.ts'
import type { LogOutput } from '../command-line.ts'
import { createSheet, type Sheet } from './output.ts'
import { plainProgress, progressLine } from './progress-line.ts'

export interface Screen extends Disposable {
  readonly isTerminal: boolean
  /** A line that stays, on stdout; nothing with --json. */
  say(text: string): void
  /** A line for stderr; of the same `kind` as the last one in its place, or seldom. */
  warn(text: string, kind?: string): void
  /** What is written over, cut to the width; nothing elsewhere than on a terminal. */
  live(text: string): void
}

export interface ScreenOptions {
  /** stdout is for one object: a person at a terminal sees progress on stderr. */
  readonly isJson: boolean
}

/** Where a command with a screen logs: at a terminal above what is live, whatever the form of the lines. */
export function logFor({ warn }: Screen, isJson: boolean): LogOutput {
  return { reader: isJson ? 'program' : 'person', tell: warn }
}

/** Until disposed of it shows progress; the cursor is then on a fresh line. */
export function openScreen(
  { stdout, stderr, events }: Pick<Process, 'stdout' | 'stderr' | 'events'>,
  { isJson }: ScreenOptions,
): Screen {
  const liveOn = isJson ? 'stderr' : 'stdout'
  const sheet = createSheet({ stdout, stderr, liveOn, now: () => performance.now() })
  const subscription = events.subscribe((event) => {
    if (event.type === 'progress') show(event.progress)
  })
  const show = (progress: Progress) => {
    // the last line of the command says that it is done, and how
    if (progress.step === 'done') return
    const step = stepOf(events.snapshot()) ?? undefined
    if (sheet.isTerminal) {
      sheet.live(progressLine(progress, { step, columns: sheet.columns }))
    } else if (!isJson) {
      const kind = `${step?.n ?? ''} ${progress.step}`
      sheet.line('stdout', plainProgress(progress, step), kind)
    }
  }
  return {
    isTerminal: sheet.isTerminal,
    say: (text) => {
      if (!isJson) sheet.line('stdout', text)
    },
    warn: (text, kind) => sheet.line('stderr', text, kind),
    live: (text) => sheet.live(cutTo(text, sheet)),
    [Symbol.dispose]: () => {
      subscription[Symbol.dispose]()
      sheet.close()
    },
  }
}

/** The last column stays free: a full line would wrap. */
function cutTo(text: string, { columns }: Sheet): string {
  return text.slice(0, Math.max(1, columns - 1))
}
