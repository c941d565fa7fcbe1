// SPDX-License-Identifier: Apache-2.0
// Owns the progress line a person sees: one self-overwriting line on a terminal, a plain line now and
// then elsewhere. Does not log and does not measure.
import type { Figures, Progress, SyncingArray } from '../core/events.ts'
import {
  formatAmount,
  formatBytes,
  formatCount,
  formatDuration,
  formatPace,
} from '../core/units.ts'
import type { EventReader } from './event-stream.ts'

/** What a console needs of a stream. */
export interface ConsoleStream {
  write(text: string): unknown
}

export interface ConsoleOptions {
  readonly stream: ConsoleStream
  /** True: escape codes and one line that is written over. Serial lines and files say false. */
  readonly isTty: boolean
  readonly now: () => number
  /** Width of the terminal, characters; 80 unless given. */
  readonly columns?: number
  /** Time between plain lines, ms; 10 000 unless given. */
  readonly plainIntervalMs?: number
}

interface Line {
  show(progress: Progress): void
  /** Leaves the cursor on a fresh line. */
  close(): void
}

/** What a person is told that a step does. */
export const STEP_WORDS: Readonly<Record<Progress['step'], string>> = {
  prepare: 'checking image and disk',
  fetch: 'writing the image',
  'read-back': 'reading back',
  unpack: 'unpacking',
  partition: 'making partitions and file systems',
  commit: 'making the disk bootable',
  configdrive: 'writing the config drive',
  erase: 'erasing disks',
  'burn-in': 'burning in',
  pack: 'packing',
  hash: 'hashing',
  sync: 'copying to a mirror',
  inspect: 'inspecting the machine',
  done: 'done',
}

/** `burning in: cpu`. */
export function titleOf({ step, subject }: Pick<Progress, 'step' | 'subject'>): string {
  return subject === null ? STEP_WORDS[step] : `${STEP_WORDS[step]}: ${subject}`
}

const ERASE_TO_END_OF_LINE = '\u001B[K'

/** Shows the progress that the stream of events tells, until disposed of; the cursor is then on a fresh line. */
export function showProgress(
  events: Pick<EventReader, 'subscribe'>,
  options: ConsoleOptions,
): Disposable {
  const line = options.isTty ? createLiveLine(options) : createPlainLines(options)
  const subscription = events.subscribe((event) => {
    if (event.type === 'progress') line.show(event.progress)
  })
  return {
    [Symbol.dispose]: () => {
      subscription[Symbol.dispose]()
      line.close()
    },
  }
}

function createLiveLine({ stream, columns = 80 }: ConsoleOptions): Line {
  let isOpen = false
  return {
    show: (progress) => {
      // the last column stays free: a full line would wrap and \r would come back one line too low
      stream.write(`\r${describe(progress).slice(0, columns - 1)}${ERASE_TO_END_OF_LINE}`)
      isOpen = true
    },
    close: () => {
      if (isOpen) stream.write('\n')
      isOpen = false
    },
  }
}

function createPlainLines(options: ConsoleOptions): Line {
  const { stream, now, plainIntervalMs = 10_000 } = options
  let shownAtMs = Number.NEGATIVE_INFINITY
  let shownStep: Progress['step'] | undefined
  return {
    show: (progress) => {
      if (progress.step === shownStep && now() - shownAtMs < plainIntervalMs) return
      shownStep = progress.step
      shownAtMs = now()
      stream.write(`${describe(progress)}\n`)
    },
    close: () => undefined,
  }
}

/** `writing the image 48.8% 125.0 MiB/256.0 MiB 50.1 MiB/s ETA 0:02 origin 10.0 MiB peers 115.0 MiB (4 peers) swarm` */
export function describe(progress: Progress): string {
  const words = [titleOf(progress), ...figureWords(progress)]
  if (progress.step === 'fetch') words.push(...sourceWords(progress))
  return words.join(' ')
}

/** `48.8%`, `125.0 MiB/256.0 MiB`, `50.1 MiB/s`, `ETA 0:02`; before the first how much it is, nothing where nobody knows. */
export function figureWords(figures: Figures): string[] {
  const { unit, done, total, percent, ratePerSecond, etaSeconds } = figures
  if (total <= 0) return []
  if (done === 0) return [unit === 'items' ? `0/${total}` : formatAmount(total, unit)]
  const amount = `${formatAmount(done, unit)}/${formatAmount(total, unit)}`
  const words = [`${percent.toFixed(1)}%`, amount]
  if (percent >= 100) return words
  const pace = formatPace(ratePerSecond, unit)
  return [
    ...words,
    ...(pace === null ? [] : [pace]),
    `ETA ${formatDuration(etaSeconds ?? undefined)}`,
  ]
}

/** `RAID /dev/md0 resync 12.3% 1.2 GiB/9.8 GiB 180.0 MiB/s ETA 0:48`. */
export function describeSync({ array, action, figures }: SyncingArray): string {
  return ['RAID', array, action, ...figureWords(figures)].join(' ')
}

function sourceWords({ bytes, peers, source }: Progress): string[] {
  return [
    ...(bytes.origin > 0 ? [`origin ${formatBytes(bytes.origin)}`] : []),
    ...(bytes.peers > 0 ? [`peers ${formatBytes(bytes.peers)}`] : []),
    ...(bytes.file > 0 ? [`file ${formatBytes(bytes.file)}`] : []),
    ...(peers > 0 ? [`(${formatCount(peers, 'peer')})`] : []),
    ...(source === null ? [] : [source]),
  ]
}
