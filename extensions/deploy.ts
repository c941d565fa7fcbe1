// SPDX-License-Identifier: Apache-2.0
// Owns the `deploy` extension: the steps of a deployment (contract 5.1, 8.4).
import type { Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { createExecuteStep, createGetSteps } from './step-commands.ts'

/** deploy.get_deploy_steps and deploy.execute_deploy_step. */
export function createDeployExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'deploy',
    commands: {
      get_deploy_steps: createGetSteps(deps, 'deploy'),
      execute_deploy_step: createExecuteStep(deps, 'deploy'),
    },
  }
}
