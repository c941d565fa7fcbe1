// SPDX-License-Identifier: Apache-2.0
// Owns the meeting of operators' patterns with texts (contract 7.3), bounded in time and number. Does not know what the
// texts are.
import { Worker } from 'node:worker_threads'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { PatternNews, PatternTask } from './pattern-task.ts'
import { PATTERN_FLAGS, translatePattern } from './python-pattern/translate.ts'

/** Patterns of a kind that Python takes years for are easily written by mistake: `(a+)+$`. */
const DEADLINE_MS = 10_000
/** A machine that does much else takes its time. */
const START_MS = 60_000
const MOST_PATTERNS = 100
const MOST_CHARACTERS = 1000
/** Of the thread's heap, which holds no more than patterns and texts. */
const MOST_HEAP_MIB = 64

/**
 * Checks and translates patterns. Throws InvalidCommandParamsError with the pattern and the place in it.
 * @param name of the argument, for the error
 */
export function parsePatterns(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string')) {
    throw invalid(`${name} must be a list of strings, each a regular expression as Python has them`)
  }
  if (value.length > MOST_PATTERNS) {
    throw invalid(`${name} has ${value.length} patterns; at most ${MOST_PATTERNS} are taken`)
  }
  return value.map((pattern: string) => {
    if (pattern.length > MOST_CHARACTERS) {
      throw invalid(
        `a pattern of ${name} has ${pattern.length} characters; at most ${MOST_CHARACTERS} are taken`,
      )
    }
    try {
      const source = translatePattern(pattern)
      new RegExp(source, PATTERN_FLAGS)
      return source
    } catch (error) {
      throw invalid(`pattern ${JSON.stringify(pattern)} of ${name}: ${messageOf(error)}`, error)
    }
  })
}

/**
 * The indices of the texts in which one of the patterns is found, ascending.
 * @param sources of {@link parsePatterns}
 * @throws InvalidCommandParamsError for patterns that are not through within 10 s; CancelledError
 */
export async function matchPatterns(
  sources: readonly string[],
  texts: readonly string[],
  signal: AbortSignal,
): Promise<readonly number[]> {
  if (sources.length === 0 || texts.length === 0) return []
  const task: PatternTask = { sources, flags: PATTERN_FLAGS, texts }
  const worker = new Worker(new URL('./pattern-worker.ts', import.meta.url), {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MIB },
  })
  const found = new Set<number>()
  const through = Promise.withResolvers<void>()
  let count = 0
  const tooSlow = () =>
    through.reject(
      invalid(
        `pattern ${count + 1} of ${sources.length} has not been through ${texts.length} texts after ` +
          `${DEADLINE_MS / 1000} s in all; a repetition inside of a repetition is the usual reason`,
      ),
    )
  const noStart = () => through.reject(new Error(`no thread after ${START_MS / 1000} s`))
  let timer = setTimeout(noStart, START_MS)
  const cancel = () => through.reject(new AgentError('CancelledError', 'patterns not matched'))
  signal.addEventListener('abort', cancel, { once: true })
  worker.on('message', (news: PatternNews) => {
    if (news === 'ready') {
      clearTimeout(timer)
      timer = setTimeout(tooSlow, DEADLINE_MS)
      return
    }
    count++
    for (const index of news.matches) found.add(index)
    if (count === sources.length) through.resolve()
  })
  worker.once('error', (error) => through.reject(invalid(messageOf(error), error)))
  if (signal.aborted) cancel()
  try {
    await through.promise
    return [...found].sort((a, b) => a - b)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', cancel)
    await worker.terminate()
  }
}

function invalid(details: string, cause?: unknown): AgentError {
  return new AgentError('InvalidCommandParamsError', details, { cause })
}
