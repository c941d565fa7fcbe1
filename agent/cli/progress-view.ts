// SPDX-License-Identifier: Apache-2.0
// Owns where the verbs that take a while show their progress. Does not know how it looks;
// telemetry/console.ts does.
import type { Process } from '../system/process.ts'
import { showProgress } from '../telemetry/console.ts'

/** Until disposed of. With --json stdout is for a program: a person at a terminal sees progress on stderr. */
export function openProgress(
  { stdout, stderr, events }: Pick<Process, 'stdout' | 'stderr' | 'events'>,
  isJson: boolean,
): Disposable {
  const stream = isJson ? stderr : stdout
  if (isJson && !stream.isTTY) return { [Symbol.dispose]: () => undefined }
  return showProgress(events, {
    stream,
    isTty: stream.isTTY === true,
    now: () => performance.now(),
    ...(stream.columns === undefined ? {} : { columns: stream.columns }),
  })
}
