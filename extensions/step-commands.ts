// SPDX-License-Identifier: Apache-2.0
// Owns the extensions `clean`, `deploy` and `service`: get_*_steps and execute_*_step (contract 5.1, 8.4, 8.6).
// Does not know what any step does; hardware managers do.
import { type AnyCommand, command, type Extension } from '../agent/commands/command.ts'
import { AgentError, type ErrorType } from '../agent/core/errors.ts'
import { isObject, type JsonObject, stringAt } from '../agent/core/json.ts'
import { instanceInfoOf, parseBootcRequest } from '../agent/deploy/bootc/request.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import type { StepCall, StepKind } from '../agent/hardware/manager.ts'
import { announcedSteps, assertVersionsMatch } from '../agent/hardware/steps.ts'
import { withoutConfigDrive } from '../agent/ironic/node-cache.ts'
import { answerInTime, assertOnly, invalidParams, objectList, requireObject } from './params.ts'

/** What a foreign exception inside of a step is reported as. */
const STEP_ERROR: Readonly<Record<StepKind, ErrorType>> = {
  clean: 'CleaningError',
  deploy: 'DeploymentError',
  service: 'ServicingError',
}

/**
 * How much of a synchronous command may go into waiting for the root disk, ms. The step itself waits on:
 * the list of steps does not depend on disks, and an unanswered conductor fails the deployment.
 */
const DISK_WAIT_MS = 35_000

/** `<kind>.get_<kind>_steps` and `<kind>.execute_<kind>_step`. */
export function createStepExtension(deps: ExtensionDeps, kind: StepKind): Extension {
  return {
    name: kind,
    commands: {
      [`get_${kind}_steps`]: createGetSteps(deps, kind),
      [`execute_${kind}_step`]: createExecuteStep(deps, kind),
    },
  }
}

/** `get_<kind>_steps`: sync, answers the lists by manager and the version map. */
function createGetSteps(deps: ExtensionDeps, kind: StepKind): AnyCommand {
  const name = `${kind}.get_${kind}_steps`
  return command({
    kind: 'sync',
    parse: (params) => {
      assertOnly(name, params, ['node', 'ports'])
      const node = requireObject(name, params, 'node')
      objectList(name, params, 'ports')
      return node
    },
    run: (node, context) =>
      answerInTime(name, context.signal, async (signal) => {
        const patience = AbortSignal.any([signal, AbortSignal.timeout(DISK_WAIT_MS)])
        await adoptNode(deps, node, patience)
        return {
          [`${kind}_steps`]: announcedSteps(deps.hardware, kind),
          hardware_manager_version: deps.hardware.versions(),
        }
      }),
  })
}

interface StepParams {
  readonly node: JsonObject
  readonly ports: readonly JsonObject[]
  /** As received, for the echo. */
  readonly step: JsonObject
  readonly stepName: string
  readonly args: JsonObject
  /** The conductor's version map; null or absent: not checked. */
  readonly versions: unknown
}

/**
 * `execute_<kind>_step`: async. The step is echoed exactly as received: the conductor compares it with the
 * step it waits for and else waits for ever (contract 5.1).
 */
function createExecuteStep(deps: ExtensionDeps, kind: StepKind): AnyCommand {
  return command({
    kind: 'async',
    parse: (params) => parseStep(kind, params),
    subjectOf: ({ step }) => (isObject(step) ? stringAt(step, 'step') : undefined),
    run: async ({ node, ports, step, stepName, args, versions }, context) => {
      await adoptNode(deps, node, context.signal)
      assertVersionsMatch(versions, deps.hardware.versions())
      const call: StepCall = {
        node,
        ports,
        args,
        context: {
          signal: context.signal,
          events: context.events,
          writeImage: async (imageInfo, configdrive) => {
            const image = deps.deploy.images.parse(imageInfo, configdrive, node)
            return `prepare_image: ${await deps.deploy.images.write(image, node, context)}`
          },
          installContainer: async (given) => {
            const request = parseBootcRequest(
              {
                imageSource: given['image_source'],
                pullSecret: given['oci_pull_secret'],
                configdrive: given['configdrive'],
              },
              instanceInfoOf(node),
            )
            return `execute_bootc_install: ${await deps.deploy.images.write(request, node, context)}`
          },
          releaseDisks: () => deps.deploy.images.release(`${kind} step ${stepName}`),
          stopSeeding: () => deps.deploy.seeding.release(`${kind} step ${stepName}`),
        },
      }
      try {
        const result = (await deps.hardware.runStep(kind, stepName, call)) ?? null
        return { [`${kind}_result`]: result, [`${kind}_step`]: step }
      } catch (error) {
        throw asStepError(error, kind, stepName)
      }
    },
  })
}

function parseStep(kind: StepKind, params: JsonObject): StepParams {
  const name = `${kind}.execute_${kind}_step`
  const versionKey = `${kind}_version`
  const node = withoutConfigDrive(requireObject(name, params, 'node'))
  const ports = objectList(name, params, 'ports')
  const step = requireObject(name, params, 'step')
  const stepName = stringAt(step, 'step')
  if (!stepName) throw invalidParams(`${name} needs step.step, a step's name`)
  const args = stepArguments(params, step, versionKey)
  return { node, ports, step, stepName, args, versions: params[versionKey] }
}

/** Keeps the node for later commands. A node not seen before may have another root disk to wait for. */
async function adoptNode(
  deps: ExtensionDeps,
  node: JsonObject,
  signal: AbortSignal,
): Promise<void> {
  deps.nodeCache.set(node)
  await deps.hardware.dispatch('waitForDisks', node, signal)
}

/** Extra parameters of the command, overridden by `step.args` (contract 5.1). */
function stepArguments(params: JsonObject, step: JsonObject, versionKey: string): JsonObject {
  const { step: _step, node: _node, ports: _ports, [versionKey]: _version, ...extra } = params
  const args = step['args'] ?? {}
  if (!isObject(args)) throw invalidParams('step.args must be an object')
  return { ...extra, ...args }
}

function asStepError(error: unknown, kind: StepKind, stepName: string): AgentError {
  if (error instanceof AgentError) return error
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return new AgentError(
    STEP_ERROR[kind],
    `Unexpected exception performing ${kind} step ${stepName}. ${text}`,
    { cause: error },
  )
}
