// SPDX-License-Identifier: Apache-2.0
// Owns noticing that a worker does not start, or says nothing any more. Does not end it.

const LOOK_MS = 1000

/** How long a worker may say nothing: before its first word, and from then on. */
export interface Patience {
  readonly startMs: number
  readonly hangMs: number
}

export class PulseWatch {
  readonly #patience: Patience
  readonly #onSilent: (reason: string) => void
  readonly #timer: NodeJS.Timeout
  #heardAt = performance.now()
  #lookedAt = this.#heardAt
  #isUp = false

  /** @param onSilent called again and again until `stop` */
  constructor(patience: Patience, onSilent: (reason: string) => void) {
    this.#patience = patience
    this.#onSilent = onSilent
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
    this.#timer.unref()
  }

  /** It has said its first word: from now on silence is a sign. */
  get isUp(): boolean {
    return this.#isUp
  }

  heard(): void {
    this.#heardAt = performance.now()
    this.#isUp = true
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const now = performance.now()
    // this thread itself was held up, or the machine slept: the worker's news wait in the queue
    if (now - this.#lookedAt > 3 * LOOK_MS) this.#heardAt = now
    this.#lookedAt = now
    const { startMs, hangMs } = this.#patience
    const silentMs = now - this.#heardAt
    const seconds = Math.round(silentMs / 1000)
    if (!this.#isUp && silentMs > startMs) this.#onSilent(`has not started within ${seconds} s`)
    if (this.#isUp && silentMs > hangMs) {
      this.#onSilent(`hangs: no sign of life for ${seconds} s`)
    }
  }
}
