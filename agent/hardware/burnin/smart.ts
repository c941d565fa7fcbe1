// SPDX-License-Identifier: Apache-2.0
// Owns the long self-test of drives by smartctl (contract 7.4): begun on all, waited for, the drive's own verdict read.
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import { isObject, type JsonObject, objectAt } from '../../core/json.ts'
import { follow } from '../../telemetry/follow.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'
import type { StepContext } from '../manager.ts'
import type { BurninDeps } from './run.ts'

const LOOK_EVERY_MS = 30_000
const LEAST_TIMEOUT_MS = 4 * 3_600_000
const LONGEST_TIMEOUT_MS = 96 * 3_600_000
/** Bits of smartctl's exit code say of the drive what its JSON says too; only the first two are failures to ask. */
const ANSWERS = Array.from({ length: 256 }, (_, code) => code).filter((code) => (code & 3) === 0)

/** Of an ATA drive; undefined for one that keeps no self-test. */
interface SelfTest {
  readonly words: string
  readonly isRunning: boolean
  readonly hasPassed: boolean
  /** The drive's own estimate, minutes. */
  readonly minutes: number
}

/**
 * What came of each, in words. Throws CleaningError for a drive whose test does not begin or fails, or goes on for longer than
 * twice what it says itself; CancelledError.
 */
export async function runSelfTests(
  { exec, log }: BurninDeps,
  names: readonly string[],
  { signal, events }: Pick<StepContext, 'signal' | 'events'>,
): Promise<ReadonlyMap<string, string>> {
  for (const name of names) await begin(exec, name, signal)
  const results: SelfTestResults = { words: new Map(), failures: [] }
  const startedAt = performance.now()
  let waiting = [...names]
  using meter = createProgressMeter({ now: () => performance.now(), events })
  let expected = 0
  using _clock = follow(meter, async () => Math.round((performance.now() - startedAt) / 1000))
  for (;;) {
    const running: string[] = []
    for (const name of waiting) {
      const test = await readSelfTest(exec, name, signal)
      throwIfAborted(signal)
      const seconds = 60 * (test?.minutes ?? 0)
      if (seconds > expected) {
        expected = seconds
        meter.begin('burn-in', seconds, { unit: 'seconds', subject: 'self-tests of disks' })
      }
      if (test?.isRunning && performance.now() - startedAt < timeoutOf(test)) running.push(name)
      else note(results, name, test)
    }
    waiting = running
    if (waiting.length === 0) break
    log.info({ disks: waiting }, 'self-tests running')
    await sleep(LOOK_EVERY_MS, signal)
  }
  if (results.failures.length > 0) throw failed(results.failures)
  return results.words
}

interface SelfTestResults {
  readonly words: Map<string, string>
  readonly failures: string[]
}

function note(
  { words, failures }: SelfTestResults,
  name: string,
  test: SelfTest | undefined,
): void {
  if (test === undefined) words.set(name, 'it keeps no self-test')
  else if (test.hasPassed) words.set(name, `its self-test ${test.words}`)
  else failures.push(`${name}: ${test.words}`)
}

async function begin(exec: BurninDeps['exec'], name: string, signal: AbortSignal): Promise<void> {
  const argv = ['smartctl', '-t', 'long', name] as const
  await exec(argv, { signal, okExitCodes: ANSWERS }).catch((error: unknown) => {
    throwIfAborted(signal)
    throw failed([`${name}: it does not begin, ${messageOf(error)}`])
  })
}

function timeoutOf({ minutes }: SelfTest): number {
  return Math.min(Math.max(2 * minutes * 60_000, LEAST_TIMEOUT_MS), LONGEST_TIMEOUT_MS)
}

async function readSelfTest(
  exec: BurninDeps['exec'],
  name: string,
  signal: AbortSignal,
): Promise<SelfTest | undefined> {
  try {
    const { stdout } = await exec(['smartctl', '-ja', name], { signal, okExitCodes: ANSWERS })
    return parseSelfTest(stdout)
  } catch {
    return undefined
  }
}

/** Of `smartctl -ja`. */
export function parseSelfTest(text: string): SelfTest | undefined {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    return undefined
  }
  const test: JsonObject = objectAt(objectAt(answer, 'ata_smart_data'), 'self_test')
  const words = objectAt(test, 'status')['string']
  if (!isObject(answer) || typeof words !== 'string') return undefined
  return {
    words,
    isRunning: words.includes('in progress'),
    hasPassed: words.includes('completed without error'),
    minutes: Number(objectAt(test, 'polling_minutes')['extended'] ?? 0),
  }
}

function failed(details: readonly string[]): AgentError {
  return new AgentError('CleaningError', `self-test of ${details.join('; ')}`)
}
