// SPDX-License-Identifier: Apache-2.0
// Owns the list of command extensions this agent offers, in Ironic's names (contract 5). Does not run
// commands; agent/commands does.
import type { Extension } from '../agent/commands/command.ts'
import { createCleanExtension } from './clean.ts'
import { createDeployExtension } from './deploy.ts'
import type { ExtensionDeps } from './deps.ts'
import { createFlowExtension } from './flow.ts'
import { createImageExtension } from './image.ts'
import { createImageWriter } from './image-writer.ts'
import { createLogExtension } from './log.ts'
import { createPollExtension } from './poll.ts'
import { createRescueExtension } from './rescue.ts'
import { createStandbyExtension } from './standby.ts'

/** Every extension, wired to one image writer. Call it once: two writers would not see each other. */
export function createExtensions(deps: ExtensionDeps): Extension[] {
  const writer = createImageWriter(deps)
  const extensions = [
    createCleanExtension(deps, writer),
    createDeployExtension(deps, writer),
    createStandbyExtension(deps, writer),
    createImageExtension(deps, writer),
    createLogExtension(deps, writer),
    createPollExtension(deps),
    createRescueExtension(deps),
  ]
  return [...extensions, createFlowExtension(extensions)]
}
