// SPDX-License-Identifier: Apache-2.0
// Owns the deadline of every transfer with a disk, and how many are under way at once. A transfer that hangs in the
// kernel cannot be called back: whoever waits for it is told, and the device gets no further ones. Does not transfer.
import { timerMs } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'

/**
 * Longer than Linux itself goes on trying: 30 s a command, five times again (drivers/scsi/sd.h SD_TIMEOUT,
 * SD_MAX_RETRIES). A disk that will answer at all has answered by then, with an errno of its own, ms.
 */
export const DISK_TIMEOUT_MS = 300_000

/**
 * Under way at once on one open device; more would not be faster. libuv's threads are shared with name resolution
 * and zlib: there are 16 (UV_THREADPOOL_SIZE, agent/main.ts), and a disk that hangs keeps no more than these.
 */
const MAX_UNDER_WAY = 4

type DiskErrorType = 'BlockDeviceError' | 'ImageWriteError'

/** What a transfer is, for its error. */
export interface Transfer {
  readonly type: DiskErrorType
  /** `write of 4096 bytes at offset 0`. */
  readonly what: string
}

export interface IoWatch {
  /** The device has let a transfer hang: it gets no others, and closing it would hang too. */
  readonly isHung: boolean
  /** Runs `work` when it is its turn. Throws an AgentError of the transfer's type once the device hangs. */
  run<T>(transfer: Transfer, work: () => Promise<T>): Promise<T>
}

export interface IoWatchOptions {
  readonly path: string
  /** Longest time of one transfer, ms; 0 for no limit. */
  readonly timeoutMs: number
}

interface UnderWay {
  readonly startedAtMs: number
  readonly transfer: Transfer
  readonly fail: (error: AgentError) => void
}

/** Whoever waits for its turn. */
interface Waiting {
  readonly transfer: Transfer
  readonly start: (error?: AgentError) => void
}

export function createIoWatch(options: IoWatchOptions): IoWatch {
  return new Watch(options)
}

class Watch implements IoWatch {
  readonly #path: string
  readonly #timeoutMs: number
  /** In the order they were started: the first is the oldest. */
  readonly #underWay = new Set<UnderWay>()
  readonly #waiting: Waiting[] = []
  #timer: NodeJS.Timeout | undefined
  /** What hangs; undefined while nothing does. */
  #hanging: string | undefined

  constructor({ path, timeoutMs }: IoWatchOptions) {
    this.#path = path
    this.#timeoutMs = timeoutMs
  }

  get isHung(): boolean {
    return this.#hanging !== undefined
  }

  async run<T>(transfer: Transfer, work: () => Promise<T>): Promise<T> {
    if (this.#hanging !== undefined) throw this.#refusal(transfer)
    // whoever waits for its turn goes first: between its turn and its start nothing else runs
    if (this.#underWay.size >= MAX_UNDER_WAY || this.#waiting.length > 0) {
      await this.#turn(transfer)
    }
    return await this.#supervise(transfer, work)
  }

  #turn(transfer: Transfer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ transfer, start: (error) => (error ? reject(error) : resolve()) })
    })
  }

  async #supervise<T>(transfer: Transfer, work: () => Promise<T>): Promise<T> {
    const outcome = Promise.withResolvers<T>()
    const mine = { startedAtMs: performance.now(), transfer, fail: outcome.reject }
    this.#underWay.add(mine)
    if (this.#timeoutMs > 0 && this.#timer === undefined) this.#arm(this.#timeoutMs)
    work().then(outcome.resolve, outcome.reject)
    try {
      return await outcome.promise
    } finally {
      this.#underWay.delete(mine)
      if (this.#underWay.size === 0) {
        clearTimeout(this.#timer)
        this.#timer = undefined
      }
      this.#waiting.shift()?.start()
    }
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#check(), timerMs(ms))
  }

  #check(): void {
    this.#timer = undefined
    const [oldest] = this.#underWay
    if (oldest === undefined) return
    const leftMs = oldest.startedAtMs + this.#timeoutMs - performance.now()
    if (leftMs > 0) {
      this.#arm(leftMs)
      return
    }
    const how = `has not returned for ${this.#timeoutMs / 1000} s`
    this.#hanging = `${oldest.transfer.what} ${how}`
    for (const { transfer, fail } of this.#underWay) fail(this.#hungError(transfer, how))
    for (const { transfer, start } of this.#waiting.splice(0)) start(this.#refusal(transfer))
  }

  #refusal(transfer: Transfer): AgentError {
    return this.#hungError(transfer, `was not tried, for a ${this.#hanging}`)
  }

  #hungError({ type, what }: Transfer, how: string): AgentError {
    return new AgentError(
      type,
      `${what} of ${this.#path} ${how}: the disk or the path to it hangs; see dmesg. The limit is disk_timeout`,
    )
  }
}
