// SPDX-License-Identifier: Apache-2.0
// Owns attacking the reader of a format with damaged images: each is read, or refused as that format is. What is no
// way to read one is for the rows of formats.ts to say, as an error of another kind. Does not choose how many.
import { isAgentError } from '../../../agent/core/errors.ts'
import { createRandom } from '../../support/simulated-swarm/virtual-time.ts'
import type { FuzzedFormat } from './formats.ts'
import { mutate } from './mutate.ts'

export interface FuzzRange {
  readonly seed: number
  /** The first damage, and how many: each has random numbers of its own, and can be repeated alone. */
  readonly from: number
  readonly count: number
}

export interface FuzzReport {
  readonly taken: number
  readonly refused: number
  /** How often each kind of refusal was met, by its words without numbers and quotations. */
  readonly refusals: ReadonlyMap<string, number>
  /** What ended otherwise, by the number of the damage. */
  readonly findings: readonly { readonly number: number; readonly error: unknown }[]
}

const MOST_FINDINGS = 20

/**
 * @param onStep is told of each damage before it is done, so that one that never ends has a number
 * @param onFinding hears of each at once: a night may end early
 */
export async function fuzzFormat(
  { read, refusal, images }: FuzzedFormat,
  { seed, from, count }: FuzzRange,
  onStep: (number: number) => void = () => {},
  onFinding: (number: number, error: unknown) => void = () => {},
): Promise<FuzzReport> {
  const all = images()
  const refusals = new Map<string, number>()
  const findings: { number: number; error: unknown }[] = []
  let taken = 0
  for (let number = from; number < from + count && findings.length < MOST_FINDINGS; number++) {
    onStep(number)
    const random = createRandom(Math.imul(seed, 0x9e37_79b1) + number)
    const { file, fields } = all[number % all.length] as (typeof all)[number]
    try {
      await read(mutate(file, fields, random))
      taken++
    } catch (error) {
      if (isAgentError(error, refusal)) {
        const words = wordsOf(error.details)
        refusals.set(words, (refusals.get(words) ?? 0) + 1)
      } else {
        findings.push({ number, error })
        onFinding(number, error)
      }
    }
  }
  const refused = [...refusals.values()].reduce((sum, times) => sum + times, 0)
  return { taken, refused, refusals, findings }
}

function wordsOf(details: string): string {
  return details
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '"…"')
    .replaceAll(/\d[\d,. ]*/g, '# ')
    .slice(0, 100)
}
