// SPDX-License-Identifier: Apache-2.0
// Owns the progress of a burn-in that lasts for a time: seconds done of the seconds that were asked for.
import type { EventPublisher } from '../../core/events.ts'
import { follow } from '../../telemetry/follow.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'

export interface TimedBurnin {
  /** What is burned in: `cpu`. */
  readonly subject: string
  readonly seconds: number
  /** False while it waits to begin, which is no part of the time; always true unless given. */
  readonly hasBegun?: () => Promise<boolean>
}

/** Runs `work` and tells of it. Its end is its own: a program may take longer than it was told to. */
export async function byTheClock<T>(
  events: EventPublisher,
  { subject, seconds, hasBegun = async () => true }: TimedBurnin,
  work: () => Promise<T>,
): Promise<T> {
  const now = () => performance.now()
  using meter = createProgressMeter({ now, events })
  meter.begin('burn-in', seconds, { unit: 'seconds', subject })
  let beganAt: number | undefined
  using _clock = follow(meter, async () => {
    if (beganAt === undefined && (await hasBegun())) beganAt = now()
    return beganAt === undefined ? undefined : Math.round((now() - beganAt) / 1000)
  })
  return await work()
}
