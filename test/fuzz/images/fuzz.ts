// SPDX-License-Identifier: Apache-2.0
// Owns attacking the reader of a format with damaged images: each ends well or as InvalidImage, and nothing is
// written outside of the window, twice or not at all. Does not choose how many.
import { isAgentError } from '../../../agent/core/errors.ts'
import { unpackInMemory } from '../../support/formats/unpacked-memory.ts'
import { createRandom } from '../../support/simulated-swarm/virtual-time.ts'
import { type FuzzedFormat, WINDOW_BYTES } from './formats.ts'
import { mutate } from './mutate.ts'

export interface FuzzRange {
  readonly seed: number
  /** The first damage, and how many: each has random numbers of its own, and can be repeated alone. */
  readonly from: number
  readonly count: number
}

export interface FuzzReport {
  readonly unpacked: number
  readonly refused: number
  /** How often each kind of refusal was met, by its words without numbers. */
  readonly refusals: ReadonlyMap<string, number>
  /** What ended otherwise, by the number of the damage. */
  readonly findings: readonly { readonly number: number; readonly error: unknown }[]
}

const MOST_FINDINGS = 20

/** @param onStep is told of each damage before it is done, so that one that never ends has a number */
export async function fuzzFormat(
  { unpack, images }: FuzzedFormat,
  { seed, from, count }: FuzzRange,
  onStep: (number: number) => void = () => {},
): Promise<FuzzReport> {
  const all = images()
  const refusals = new Map<string, number>()
  const findings: { number: number; error: unknown }[] = []
  let unpacked = 0
  for (let number = from; number < from + count && findings.length < MOST_FINDINGS; number++) {
    onStep(number)
    const random = createRandom(Math.imul(seed, 0x9e37_79b1) + number)
    const { file, fields } = all[number % all.length] as (typeof all)[number]
    try {
      await unpackInMemory(unpack, mutate(file, fields, random), WINDOW_BYTES)
      unpacked++
    } catch (error) {
      if (isAgentError(error, 'InvalidImage')) {
        const words = wordsOf(error.details)
        refusals.set(words, (refusals.get(words) ?? 0) + 1)
      } else {
        findings.push({ number, error })
      }
    }
  }
  const refused = [...refusals.values()].reduce((sum, times) => sum + times, 0)
  return { unpacked, refused, refusals, findings }
}

function wordsOf(details: string): string {
  return details.replaceAll(/\d[\d,. ]*/g, '# ').slice(0, 100)
}
