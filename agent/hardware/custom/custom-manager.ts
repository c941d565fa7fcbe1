// SPDX-License-Identifier: Apache-2.0
// Owns a third-party manager as the dispatcher knows managers: its calls and steps go to its thread, with a deadline,
// and what they answer is looked at. Does not find the file (load.ts).
import { AgentError, isAgentError, messageOf, toAgentError } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import { redactText } from '../../core/redact.ts'
import { warn } from '../../telemetry/operation.ts'
import type {
  HardwareManager,
  HardwareMethod,
  LogMember,
  StepCall,
  StepImplementation,
} from '../manager.ts'
import { CALLS, type Manifest, parseAnswer } from './answers.ts'
import type { HardwareCalls, LogFile } from './interface.ts'
import { ManagerSession, type SessionDeps } from './manager-session.ts'

export interface CustomManagerDeps extends SessionDeps {
  readonly events: EventPublisher
}

type CallName = keyof HardwareCalls

/** As ironic-python-agent erases drives that take a day. */
const ERASE_TIMEOUT_MS = 24 * 3600 * 1000
const STEP_TIMEOUT_SECONDS = 3600

/** The calls whose names here are others: what they answer is only part of what the generic manager's say. */
const METHOD_OF: Partial<Record<CallName, HardwareMethod>> = {
  listBlockDevices: 'listDisks',
  getOsInstallDevice: 'chooseOsInstallDevice',
}

/** Loads the file in a thread of its own. Throws HardwareManagerConfigurationError. */
export async function openCustomManager(
  path: string,
  deps: CustomManagerDeps,
): Promise<HardwareManager> {
  const session = await ManagerSession.open(path, deps)
  const { manifest } = session
  const { name, version, label } = manifest
  return {
    name,
    version,
    label,
    evaluateHardwareSupport: async () => {
      const support = await session.call('evaluateHardwareSupport', [])
      if (Number.isSafeInteger(support) && Number(support) >= 0) return Number(support)
      throw new AgentError(
        'HardwareManagerConfigurationError',
        `evaluateHardwareSupport answers ${JSON.stringify(support)}, no level of support`,
      )
    },
    initialize: () => session.initialize(),
    steps: manifest.steps.flatMap((_step, index) => stepsOf(session, manifest, index)),
    close: () => session.close(),
    ...Object.fromEntries(
      manifest.calls.map((call) => [METHOD_OF[call] ?? call, methodOf(call, session, deps)]),
    ),
  }
}

/**
 * The call as a method. `next`: a failure is a warning and the next manager is asked; `fail`: it is thrown, with the
 * manager's name.
 */
function methodOf(call: CallName, session: ManagerSession, deps: CustomManagerDeps) {
  const { name } = session.manifest
  return async (...given: unknown[]): Promise<unknown> => {
    const signal = given.find((each) => each instanceof AbortSignal)
    // undefined is no JSON: an absent node is null there
    const args = given.filter((each) => each !== signal).map((each) => each ?? null)
    const isErase = call === 'eraseBlockDevice'
    try {
      const answer = await session.call(call, args, {
        ...(signal ? { signal } : {}),
        ...(isErase ? { timeoutMs: ERASE_TIMEOUT_MS } : {}),
      })
      const parsed = parseAnswer(call, args, answer)
      return call === 'collectSystemLogs' ? membersOf(name, parsed as readonly LogFile[]) : parsed
    } catch (error) {
      if (isAgentError(error, 'IncompatibleHardwareMethodError')) throw error
      if (!mayBePassedOn(call, args)) throw named(error, name, call)
      warn(deps.events, 'hardware manager fails', { hardware_manager: name, call }, error)
      const reason = `hardware manager ${name}: ${messageOf(error)}`
      throw new AgentError('IncompatibleHardwareMethodError', reason, { cause: error })
    }
  }
}

function membersOf(manager: string, files: readonly LogFile[]): LogMember[] {
  return files.map(({ name, content }) => ({
    name: `${manager}/${name}`,
    content: redactText(content),
  }))
}

/** An interface too many does no harm, a disk may hold what must stay. */
function mayBePassedOn(call: CallName, args: readonly unknown[]): boolean {
  return CALLS[call].onFailure === 'next' || (call === 'filterDevice' && args[0] === 'interface')
}

function named(error: unknown, name: string, what: string): AgentError {
  const { type, details } = toAgentError(error)
  return new AgentError(type, `hardware manager ${name}, ${what}: ${details}`, { cause: error })
}

/** One for each kind: cleaning lets go of the disks, the others of the image that is seeded. */
function stepsOf(session: ManagerSession, manifest: Manifest, index: number): StepImplementation[] {
  const step = manifest.steps[index]
  if (!step) return []
  const announce = {
    step: step.step,
    priority: step.priority,
    interface: step.interface ?? 'deploy',
    reboot_requested: step.reboot_requested ?? false,
    ...(step.abortable === undefined ? {} : { abortable: step.abortable }),
    ...(step.argsinfo === undefined ? {} : { argsinfo: step.argsinfo }),
  }
  const timeoutMs = (step.timeoutSeconds ?? STEP_TIMEOUT_SECONDS) * 1000
  return [...new Set(step.kinds)].map((kind) => ({
    kinds: [kind],
    announce,
    accepts: Object.keys(step.argsinfo ?? {}),
    run: async (call) => {
      assertRequired(step.step, step.argsinfo ?? {}, call)
      if (step.touchesDisks ?? true) {
        if (kind === 'clean') await call.context.releaseDisks()
        else await call.context.stopSeeding()
      }
      try {
        return await session.runStep(index, call, timeoutMs)
      } catch (error) {
        throw named(error, manifest.name, `step ${step.step}`)
      }
    },
  }))
}

function assertRequired(
  name: string,
  argsinfo: NonNullable<Manifest['steps'][number]['argsinfo']>,
  call: StepCall,
): void {
  const missing = Object.keys(argsinfo).filter(
    (key) => argsinfo[key]?.required && call.args[key] === undefined,
  )
  if (missing.length === 0) return
  throw new AgentError('InvalidCommandParamsError', `step ${name} needs ${missing.join(', ')}`)
}
