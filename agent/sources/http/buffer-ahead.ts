// SPDX-License-Identifier: Apache-2.0
// Owns the buffer that the next bytes go into, asked for before it is needed: so a full one costs no pause. Does not
// fill it.
import type { BufferPool, PooledBuffer } from '../../core/extent.ts'

export interface BufferAheadDeps {
  readonly pool: BufferPool
  /** There is a buffer to take. */
  onBuffer(): void
  /** The pool, or who was told of a buffer, has failed. */
  onFailure(error: unknown): void
}

export class BufferAhead {
  readonly #deps: BufferAheadDeps
  readonly #closing = new AbortController()
  #buffer: PooledBuffer | undefined
  #asking: Promise<void> | undefined

  /** Asks for the first one. */
  constructor(deps: BufferAheadDeps) {
    this.#deps = deps
    this.#ask()
  }

  /** The buffer, which is the caller's to release; another is asked for at once. undefined while there is none. */
  take(): PooledBuffer | undefined {
    const buffer = this.#buffer
    if (buffer === undefined) return undefined
    this.#buffer = undefined
    this.#ask()
    return buffer
  }

  /** Resolves when what was asked for has come, or will not. */
  async settled(): Promise<void> {
    if (this.#buffer === undefined) this.#ask()
    await this.#asking
  }

  /** Nothing is asked for any more, and nothing kept. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#asking
    this.#buffer?.release()
    this.#buffer = undefined
  }

  #ask(): void {
    const { pool, onBuffer, onFailure } = this.#deps
    this.#asking ??= pool
      .acquire(this.#closing.signal)
      .then((buffer) => {
        this.#buffer = buffer
        this.#asking = undefined
        onBuffer()
      })
      .catch((error) => {
        this.#asking = undefined
        if (!this.#closing.signal.aborted) onFailure(error)
      })
  }
}
