// SPDX-License-Identifier: Apache-2.0
// Owns how a program that has something to take away ends at Ctrl-C: it says so at once, takes it away, and says when that is
// done. A second Ctrl-C ends it where it stands.
import { constants } from 'node:os'
import { messageOf } from '../../agent/core/errors.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs the work and sets the exit code of this process: 0 if it resolves to true, 1 if not or if it throws, whose message is
 * printed; 128 and the signal's number after one, as shells have it: what the work throws then is not news, and what it still
 * waits for is not waited for.
 * @param work ends soon once its signal is aborted, and has taken everything away when it has
 */
export async function runInterruptibly(
  name: string,
  work: (signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const interrupted = new AbortController()
  let code = 0
  for (const word of SIGNALS) {
    process.once(word, () => {
      console.error(`${name}: ${word}: cleaning up`)
      code = 128 + constants.signals[word]
      interrupted.abort(new Error(word))
    })
  }
  try {
    process.exitCode = (await work(interrupted.signal)) ? 0 : 1
  } catch (error) {
    if (code === 0) console.error(`${name}: ${messageOf(error)}`)
    process.exitCode = 1
  }
  if (code === 0) return
  console.error(`${name}: cleaned up`)
  // a call of a machine that is gone has a minute until it fails
  process.exit(code)
}

/** Rejects with the signal's reason; never resolves. */
export function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}
