// SPDX-License-Identifier: Apache-2.0
// Owns the list of command extensions this agent offers, in Ironic's names (contract 5). Does not run
// commands; agent/commands does.
import type { Extension } from '../agent/commands/command.ts'
import { createDeployExtension } from './deploy.ts'
import type { ExtensionDeps } from './deps.ts'
import { createFlowExtension } from './flow.ts'
import { createImageExtension } from './image.ts'
import { createImageWriter } from './image-writer.ts'
import { createLogExtension } from './log.ts'
import { createPollExtension } from './poll.ts'
import { createStandbyExtension } from './standby.ts'

/** Every extension, wired to one image writer. Call it once: two writers would not see each other. */
export function createExtensions(deps: ExtensionDeps): Extension[] {
  const writer = createImageWriter(deps)
  const extensions = [
    createDeployExtension(deps, writer),
    createStandbyExtension(deps, writer),
    createImageExtension(deps, writer),
    createLogExtension(deps, writer),
    createPollExtension(deps),
  ]
  return [...extensions, createFlowExtension(extensions)]
}
