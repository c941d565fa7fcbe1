// SPDX-License-Identifier: Apache-2.0
// Owns which stages a plan goes through once it is followed, in their order: what "step 2 of 4" counts. Does not
// follow it; deploy-image.ts does.
import type { Stage } from '../../core/events.ts'
import type { Plan } from './plan.ts'

/** The stages after `prepare`, as the progress names them; one may come twice. */
export function stagesOf({
  target,
  unpacking,
  hasConfigdrive,
}: Pick<Plan, 'target' | 'unpacking' | 'hasConfigdrive'>): Stage[] {
  const unpacked = ['unpack', 'read-back'] as const
  // the file is proved where it is kept; what was unpacked from it is read back for itself, and so is what was in that
  const brought: Stage[] = [
    'fetch',
    'read-back',
    ...(unpacking?.kept ? unpacked : []),
    ...(unpacking?.container ? unpacked : []),
  ]
  if (target.layout) return [...brought, 'partition', 'commit']
  return [...brought, ...(hasConfigdrive ? (['configdrive'] as const) : []), 'commit']
}
