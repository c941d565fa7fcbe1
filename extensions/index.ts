// SPDX-License-Identifier: Apache-2.0
// Owns the list of command extensions this agent offers, in Ironic's names (contract 5). Does not run
// commands; agent/commands does.
import type { Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { createFlowExtension } from './flow.ts'
import { createImageExtension } from './image.ts'
import { createLogExtension } from './log.ts'
import { createPollExtension } from './poll.ts'
import { createRescueExtension } from './rescue.ts'
import { createStandbyExtension } from './standby.ts'
import { createStepExtension } from './step-commands.ts'
import { createSystemExtension } from './system.ts'

/** Every extension of this agent. */
export function createExtensions(deps: ExtensionDeps): Extension[] {
  const extensions = [
    createStepExtension(deps, 'clean'),
    createStepExtension(deps, 'deploy'),
    createStepExtension(deps, 'service'),
    createStandbyExtension(deps),
    createImageExtension(deps),
    createLogExtension(deps),
    createPollExtension(deps),
    createRescueExtension(deps),
    createSystemExtension(deps),
  ]
  return [...extensions, createFlowExtension(extensions)]
}
