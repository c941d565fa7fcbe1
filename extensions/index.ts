// SPDX-License-Identifier: Apache-2.0
// Owns the list of command extensions this agent offers, in Ironic's names (contract 5). Does not run
// commands; agent/commands does.
import type { Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { createCleanExtension } from './clean.ts'
import { createDeployExtension } from './deploy.ts'
import { createFlowExtension } from './flow.ts'
import { createImageExtension } from './image.ts'
import { createLogExtension } from './log.ts'
import { createPollExtension } from './poll.ts'
import { createRescueExtension } from './rescue.ts'
import { createStandbyExtension } from './standby.ts'

/** Every extension of this agent. */
export function createExtensions(deps: ExtensionDeps): Extension[] {
  const extensions = [
    createCleanExtension(deps),
    createDeployExtension(deps),
    createStandbyExtension(deps),
    createImageExtension(deps),
    createLogExtension(deps),
    createPollExtension(deps),
    createRescueExtension(deps),
  ]
  return [...extensions, createFlowExtension(extensions)]
}
