// SPDX-License-Identifier: Apache-2.0
// Owns the `clean` extension: the steps of automated and manual cleaning (contract 5.1, 8.6).
import type { Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { createExecuteStep, createGetSteps } from './step-commands.ts'

/** clean.get_clean_steps and clean.execute_clean_step. */
export function createCleanExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'clean',
    commands: {
      get_clean_steps: createGetSteps(deps, 'clean'),
      execute_clean_step: createExecuteStep(deps, 'clean'),
    },
  }
}
