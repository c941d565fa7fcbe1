// SPDX-License-Identifier: Apache-2.0
// Owns where the verbs that take a while show their progress. Does not know how it looks;
// telemetry/console.ts does.
import type { OutputStream } from '../system/process.ts'
import { type ConsoleProgress, createConsoleProgress } from '../telemetry/console.ts'

/** With --json stdout is for a program: a person at a terminal sees progress on stderr. */
export function openProgress(
  { stdout, stderr }: { readonly stdout: OutputStream; readonly stderr: OutputStream },
  isJson: boolean,
): ConsoleProgress {
  const stream = isJson ? stderr : stdout
  if (isJson && !stream.isTTY) return { show: () => undefined, close: () => undefined }
  return createConsoleProgress({
    stream,
    isTty: stream.isTTY === true,
    now: () => performance.now(),
    ...(stream.columns === undefined ? {} : { columns: stream.columns }),
  })
}
