// SPDX-License-Identifier: Apache-2.0
// Owns what `/v1/status` says of this agent. Anyone may read it: no secret, no url (contract 4.5).
import type { CommandRunner } from '../commands/runner.ts'
import type { JsonObject } from '../core/json.ts'
import type { DeployService } from '../deploy/deploy-service.ts'

export interface StatusSources {
  readonly nodeUuid: string | null
  readonly runner: Pick<CommandRunner, 'progress'>
  readonly deploy: Pick<DeployService, 'images' | 'seeding'>
}

/** The progress of the running command, else that of an image write that has ended well. */
export function statusDocument({ nodeUuid, runner, deploy }: StatusSources): JsonObject {
  const running = runner.progress()
  const last = deploy.images.lastProgress()
  const finished = last?.step === 'done' ? last : null
  return {
    node_uuid: nodeUuid,
    command: running?.command_name ?? null,
    progress: running?.progress ?? finished,
    is_seeding: deploy.seeding.isSeeding(),
  }
}
