// SPDX-License-Identifier: Apache-2.0
// Owns which step of how many a piece of work is at, from the stages that the stream of events tells.
import type { Stage } from '../../core/events.ts'
import type { StepNumber } from './progress-line.ts'

export interface StepCounter {
  /** The stages that will come, in order; one may come twice. */
  expect(stages: readonly Stage[]): void
  began(stage: Stage): void
  /** Undefined for a stage that is none of those expected, and where one is all there is. */
  current(): StepNumber | undefined
}

/** Counts nothing until it is told what to expect. */
export function createStepCounter(): StepCounter {
  let stages: readonly Stage[] = []
  let at = -1
  let isCounted = false
  return {
    expect: (expected) => {
      stages = expected
      at = -1
      isCounted = false
    },
    began: (stage) => {
      const later = stages.indexOf(stage, at + 1)
      // a piece that turned out wrong is fetched again: back to where that was
      const next = later >= 0 ? later : stages.lastIndexOf(stage)
      isCounted = next >= 0
      if (isCounted) at = next
    },
    current: () => (isCounted && stages.length > 1 ? { n: at + 1, of: stages.length } : undefined),
  }
}
