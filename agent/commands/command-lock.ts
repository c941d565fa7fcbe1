// SPDX-License-Identifier: Apache-2.0
// Owns that commands begin one after the other, in the order in which they are asked for, and how long one waits for
// those before it (contract 4.2). Does not know what a command does.
import { withDeadline } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'

/**
 * How long a request waits for a synchronous command before it: the conductor gives up after 60 s and
 * would send its command again (contract 8.1).
 */
const PATIENCE_MS = 50_000

export class CommandLock {
  #lastTurn: Promise<void> = Promise.resolve()
  #holder = ''

  /** Runs `work` after all that asked before. Throws AgentIsBusy when they take too long. */
  async hold<T>(commandName: string, work: () => Promise<T>): Promise<T> {
    const before = this.#lastTurn
    const turn = Promise.withResolvers<void>()
    this.#lastTurn = before.then(() => turn.promise)
    try {
      await withDeadline(before, PATIENCE_MS, () => busy(this.#holder))
      this.#holder = commandName
      return await work()
    } finally {
      turn.resolve()
    }
  }

  /** Resolves when all that have asked by now have had their turn. */
  released(): Promise<void> {
    return this.#lastTurn
  }
}

/** @param name of the command that is executing, with or without its extension */
export function busy(name: string): AgentError {
  return new AgentError('AgentIsBusy', `executing command ${name.split('.').at(-1)}`)
}
