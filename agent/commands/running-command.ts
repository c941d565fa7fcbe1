// SPDX-License-Identifier: Apache-2.0
// Owns the asynchronous command that runs, and who waits for its end. Does not run it and does not keep its result.
import type { CommandResult } from './command.ts'

export class RunningCommand {
  /** Its result as it began. */
  readonly result: CommandResult
  readonly #waiting = new Set<(result: CommandResult) => void>()

  constructor(result: CommandResult) {
    this.result = result
  }

  /**
   * Its result, once somebody says that it ended; rejects with the signal's reason. Who stops waiting leaves nothing
   * behind, however long the command runs.
   */
  async whenEnded(signal?: AbortSignal): Promise<CommandResult> {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<CommandResult>()
    const leave = () => reject(signal?.reason)
    this.#waiting.add(resolve)
    signal?.addEventListener('abort', leave)
    try {
      return await promise
    } finally {
      this.#waiting.delete(resolve)
      signal?.removeEventListener('abort', leave)
    }
  }

  /** Tells all that wait: it has ended, or is waited for no longer. */
  tellEnd(result: CommandResult): void {
    for (const tell of this.#waiting) tell(result)
  }
}
