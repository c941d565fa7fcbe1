// SPDX-License-Identifier: Apache-2.0
// Owns the steps of the raid interface (contract 7.2, 7.5): what they take, what they answer. Does not make or delete
// arrays itself.
import { AgentError } from '../../core/errors.ts'
import { isObject, isTruthyWord, type JsonObject, objectAt } from '../../core/json.ts'
import type { Step, StepCall, StepImplementation, StepKind } from '../manager.ts'
import { keptVolumeNames } from './arrays.ts'
import { createArrays, type RaidDeps } from './create.ts'
import { deleteArrays } from './delete.ts'
import type { RootVolumes } from './root-volume.ts'
import { asksForSoftwareRaid, parseTargetConfig } from './target-config.ts'

export interface RaidStepDeps extends RaidDeps {
  readonly rootVolumes: RootVolumes
}

/** As ironic-python-agent announces them; the conductor shows them to operators. */
const APPLY_ARGUMENTS = {
  raid_config: { description: 'The RAID configuration to apply.', required: true },
  delete_existing: {
    description:
      'True, the default, deletes the existing RAID configuration before the new one is made.',
    required: false,
  },
} as const satisfies Step['argsinfo']

/** The steps create_configuration, delete_configuration and apply_configuration. */
export function createRaidSteps(deps: RaidStepDeps): StepImplementation[] {
  const both: readonly StepKind[] = ['clean', 'service']
  return [
    {
      kinds: both,
      announce: cleanStep('delete_configuration'),
      accepts: [],
      run: (call) => deleteConfiguration(deps, call),
    },
    {
      kinds: both,
      announce: cleanStep('create_configuration'),
      accepts: [],
      run: (call) => createConfiguration(deps, call, objectAt(call.node, 'target_raid_config')),
    },
    {
      kinds: ['deploy', 'service'],
      announce: { ...announce('apply_configuration'), argsinfo: APPLY_ARGUMENTS },
      accepts: Object.keys(APPLY_ARGUMENTS),
      run: (call) => applyConfiguration(deps, call),
    },
  ]
}

function announce(step: string): Step {
  return { step, priority: 0, interface: 'raid', reboot_requested: false }
}

function cleanStep(step: string): Step {
  return { ...announce(step), abortable: true }
}

/** Null: the conductor empties raid_config then. */
async function deleteConfiguration(deps: RaidStepDeps, call: StepCall): Promise<null> {
  await call.context.releaseDisks()
  await deleteArrays(deps, call.node, call.context)
  deps.rootVolumes.forget()
  return null
}

/**
 * The configuration as it came: the conductor stores it as raid_config. An empty object where no software RAID is
 * asked for, which the conductor takes for a failure (contract 8.6).
 */
async function createConfiguration(
  deps: RaidStepDeps,
  call: StepCall,
  config: JsonObject,
): Promise<JsonObject> {
  if (!asksForSoftwareRaid(config)) {
    deps.log.info({}, 'no software RAID is asked for')
    return {}
  }
  await call.context.releaseDisks()
  const { node, context } = call
  deps.rootVolumes.made(await createArrays(deps, node, config, context.signal))
  return config
}

/** Refuses before it deletes. Throws SoftwareRAIDError, InvalidCommandParamsError. */
async function applyConfiguration(deps: RaidStepDeps, call: StepCall): Promise<JsonObject> {
  const config = call.args['raid_config']
  if (!isObject(config)) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'apply_configuration takes raid_config, an object with logical_disks',
    )
  }
  const deletes = isTruthyWord(String(call.args['delete_existing'] ?? true))
  parseTargetConfig(config, keptVolumeNames(call.node))
  if (deletes) await deleteConfiguration(deps, call)
  return await createConfiguration(deps, call, config)
}
