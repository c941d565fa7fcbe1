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

export function createIoWatch({ path, timeoutMs }: IoWatchOptions): IoWatch {
  // in the order they were started: the first is the oldest
  const underWay = new Set<UnderWay>()
  const waiting: { readonly transfer: Transfer; readonly start: (error?: AgentError) => void }[] =
    []
  let timer: NodeJS.Timeout | undefined
  let hanging: string | undefined

  const hungError = ({ type, what }: Transfer, how: string) =>
    new AgentError(
      type,
      `${what} of ${path} ${how}: the disk or the path to it hangs; see dmesg. The limit is disk_timeout`,
    )
  const refusal = (transfer: Transfer) => hungError(transfer, `was not tried, for a ${hanging}`)
  const check = () => {
    timer = undefined
    const [oldest] = underWay
    if (oldest === undefined) return
    const leftMs = oldest.startedAtMs + timeoutMs - performance.now()
    if (leftMs > 0) return arm(leftMs)
    const how = `has not returned for ${timeoutMs / 1000} s`
    hanging = `${oldest.transfer.what} ${how}`
    for (const { transfer, fail } of underWay) fail(hungError(transfer, how))
    for (const { transfer, start } of waiting.splice(0)) start(refusal(transfer))
  }
  const arm = (ms: number) => {
    timer = setTimeout(check, timerMs(ms))
  }
  const turn = (transfer: Transfer): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.push({ transfer, start: (error) => (error ? reject(error) : resolve()) })
    })
  const supervise = async <T>(transfer: Transfer, work: () => Promise<T>): Promise<T> => {
    const outcome = Promise.withResolvers<T>()
    const mine = { startedAtMs: performance.now(), transfer, fail: outcome.reject }
    underWay.add(mine)
    if (timeoutMs > 0 && timer === undefined) arm(timeoutMs)
    work().then(outcome.resolve, outcome.reject)
    try {
      return await outcome.promise
    } finally {
      underWay.delete(mine)
      if (underWay.size === 0) {
        clearTimeout(timer)
        timer = undefined
      }
      waiting.shift()?.start()
    }
  }
  return {
    get isHung() {
      return hanging !== undefined
    },
    run: async (transfer, work) => {
      if (hanging !== undefined) throw refusal(transfer)
      // whoever waits for its turn goes first: between its turn and its start nothing else runs
      if (underWay.size >= MAX_UNDER_WAY || waiting.length > 0) await turn(transfer)
      return await supervise(transfer, work)
    },
  }
}
