// SPDX-License-Identifier: Apache-2.0
// Owns the process as everything below main.ts sees it: nothing below touches `process` itself.
// Does not make one; main.ts does, and tests do.
import type { EventStream } from '../telemetry/event-stream.ts'

/** stdout or stderr, or what stands for them in a test. */
export interface OutputStream {
  write(text: string): unknown
  readonly fd?: number
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface Process {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  /** Aborts at Ctrl-C, SIGTERM and when the process must end. */
  readonly signal: AbortSignal
  /** The only stream: whoever works publishes, whoever shows, logs or answers reads. */
  readonly events: EventStream
  /** Wall clock, ms. */
  readonly now: () => number
  readonly random: () => number
  readonly version: string
}
