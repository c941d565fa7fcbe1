// SPDX-License-Identifier: Apache-2.0
// Owns the seeding that outlives a deploy: at most one, ended by power_off, by the next deploy, by the
// agent's end, or by itself, whichever comes first. Does not seed; sources/swarm does.
import { withDeadline } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import type { Seeding } from '../image/deploy-image.ts'
import type { Logger } from '../telemetry/logger.ts'

/** A peer that does not let go must not keep the machine up: after this long it is left behind, ms. */
export const RELEASE_DEADLINE_MS = 5_000

export interface SeedingKeeper {
  /** Takes over `seeding`, until it ends by itself too; an earlier one is released first. */
  hold(seeding: Seeding): Promise<void>
  /** Ends the seeding, within {@link RELEASE_DEADLINE_MS}; never throws, for the machine goes on. */
  release(reason: string): Promise<void>
  isSeeding(): boolean
}

/** A keeper with nothing to keep yet. */
export function createSeedingKeeper({ log }: { readonly log: Logger }): SeedingKeeper {
  let held: Seeding | undefined

  const release = async (reason: string) => {
    const seeding = held
    held = undefined
    if (!seeding) return
    try {
      await withDeadline(
        Promise.resolve(seeding[Symbol.asyncDispose]()),
        RELEASE_DEADLINE_MS,
        () => new AgentError('SwarmError', `seeding did not end within ${RELEASE_DEADLINE_MS} ms`),
      )
      log.info({ reason }, 'seeding ended')
    } catch (err) {
      log.warn({ reason, err }, 'seeding left behind')
    }
  }

  return {
    hold: async (seeding) => {
      await release('next deploy')
      held = seeding
      void seeding.ended?.then(async () => {
        if (held === seeding) await release('its time or ratio is reached')
      })
    },
    release,
    isSeeding: () => held !== undefined,
  }
}
