// SPDX-License-Identifier: Apache-2.0
// Owns the choice between hardware managers (contract 7.1): evaluated once, sorted, asked in order.
// Does not know what any method or step does.
import { AgentError, detailsOf, isAgentError } from '../core/errors.ts'
import type {
  HardwareAnswer,
  HardwareManager,
  HardwareMethod,
  HardwareMethods,
  OtherManagers,
  StepCall,
  StepKind,
} from './manager.ts'

/** A manager that is not used though it should be. */
export interface LeftOutManager {
  /** Its name, or its file where that could not be read. */
  readonly manager: string
  readonly reason: string
}

/** The managers of this machine, as one. Disposal closes them. */
export interface Hardware extends AsyncDisposable {
  /** Managers that support this machine, best first, each with its level of support. */
  readonly managers: readonly { readonly manager: HardwareManager; readonly support: number }[]
  /** Those that failed before they could be asked anything. */
  readonly leftOut: readonly LeftOutManager[]
  /** The answer of the first manager that has the method and does not decline. */
  dispatch<M extends HardwareMethod>(
    method: M,
    ...args: Parameters<HardwareMethods[M]>
  ): Promise<HardwareAnswer<M>>
  /** The answers of all managers that have the method, by label. */
  dispatchAll<M extends HardwareMethod>(
    method: M,
    ...args: Parameters<HardwareMethods[M]>
  ): Promise<Map<string, HardwareAnswer<M>>>
  /** Runs the step of that name on the first manager that has it and does not decline. */
  runStep(kind: StepKind, name: string, call: StepCall): Promise<unknown>
  /** Manager name to version: what `hardware_manager_version` and `deploy_version` compare. */
  versions(): Record<string, string>
}

/**
 * Evaluates every manager once, drops those that answer NONE, sorts by support (stable) and initializes
 * them in that order. One that throws before it is initialized is left out, which is told in `leftOut`.
 * @param leftOutBefore those that did not come as far as here
 * @throws AgentError HardwareManagerNotFound when none is left
 */
export async function loadHardware(
  managers: readonly HardwareManager[],
  leftOutBefore: readonly LeftOutManager[] = [],
): Promise<Hardware> {
  const leftOut = [...leftOutBefore]
  const leaveOut = async (manager: HardwareManager, error: unknown) => {
    leftOut.push({ manager: manager.name, reason: detailsOf(error) })
    await manager.close?.()
  }
  const evaluated = await Promise.all(
    managers.map(async (manager) => {
      try {
        return { manager, support: await manager.evaluateHardwareSupport() }
      } catch (error) {
        await leaveOut(manager, error)
        return { manager, support: 0 }
      }
    }),
  )
  const supporting = evaluated.filter(({ support }) => support > 0)
  supporting.sort((a, b) => b.support - a.support)
  for (const { manager, support } of evaluated) if (support <= 0) await manager.close?.()
  const usable: Hardware['managers'][number][] = []
  for (const each of supporting) {
    const { manager } = each
    const others = othersThan(manager, () => usable)
    try {
      await manager.initialize?.(others)
      usable.push(each)
    } catch (error) {
      await leaveOut(manager, error)
    }
  }
  if (usable.length === 0) {
    const names = managers.map(({ name }) => name).join(', ') || 'none'
    const why = leftOut.map(({ manager, reason }) => `; ${manager} is left out: ${reason}`).join('')
    throw new AgentError(
      'HardwareManagerNotFound',
      `of ${names} no manager supports this machine${why}`,
    )
  }
  return createDispatcher(usable, leftOut)
}

function othersThan(own: HardwareManager, managers: () => Hardware['managers']): OtherManagers {
  return {
    has: (method) =>
      managers().some(({ manager }) => manager !== own && manager[method] !== undefined),
    stepNames: () =>
      managers().flatMap(({ manager }) =>
        manager === own ? [] : manager.steps.map(({ announce }) => announce.step),
      ),
    ask: async (method, ...args) => {
      for (const { manager } of managers()) {
        const call = manager === own ? undefined : boundMethod(manager, method)
        const answer = call ? await orDeclined(() => call(...args)) : DECLINED
        if (answer !== DECLINED) return { answer: answer as HardwareAnswer<typeof method> }
      }
      return undefined
    },
  }
}

function createDispatcher(
  managers: Hardware['managers'],
  leftOut: readonly LeftOutManager[],
): Hardware {
  return {
    managers,
    leftOut,
    dispatch: (method, ...args) =>
      firstAnswer(
        method,
        managers.flatMap(({ manager }) => {
          const call = boundMethod(manager, method)
          return call ? [() => call(...args)] : []
        }),
      ),
    dispatchAll: async (method, ...args) => {
      const answers = new Map()
      for (const { manager } of managers) {
        const call = boundMethod(manager, method)
        if (!call) continue
        const answer = await orDeclined(() => call(...args))
        if (answer !== DECLINED) answers.set(manager.label, answer)
      }
      return answers
    },
    runStep: (kind, name, call) =>
      firstAnswer(
        name,
        managers.flatMap(({ manager }) =>
          manager.steps
            .filter((step) => step.announce.step === name && step.kinds.includes(kind))
            .map((step) => () => {
              assertArgumentsKnown(name, step.accepts, call)
              if (step.takesAnyDisk) assertNoneLeftOut(name, leftOut)
              return step.run(call)
            }),
        ),
      ),
    versions: () =>
      Object.fromEntries(managers.map(({ manager }) => [manager.name, manager.version])),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(managers.map(({ manager }) => manager.close?.()))
    },
  }
}

/** The method with its manager as `this`; typed loosely because M is only known to the caller. */
function boundMethod<M extends HardwareMethod>(manager: HardwareManager, method: M) {
  const found = manager[method] as ((...args: unknown[]) => Promise<HardwareAnswer<M>>) | undefined
  return found?.bind(manager)
}

const DECLINED = Symbol('declined')

/** A manager declines by IncompatibleHardwareMethodError; any other error is the answer. */
async function orDeclined<T>(call: () => Promise<T>): Promise<T | typeof DECLINED> {
  try {
    return await call()
  } catch (error) {
    if (isAgentError(error, 'IncompatibleHardwareMethodError')) return DECLINED
    throw error
  }
}

async function firstAnswer<T>(name: string, calls: readonly (() => Promise<T>)[]): Promise<T> {
  for (const call of calls) {
    const answer = await orDeclined(call)
    if (answer !== DECLINED) return answer as T
  }
  throw new AgentError(
    'HardwareManagerMethodNotFound',
    `no hardware manager of this machine offers ${name}`,
  )
}

/** Whose disks are hidden by a manager that could not be asked loses nothing by a step that waits. */
function assertNoneLeftOut(step: string, leftOut: readonly LeftOutManager[]): void {
  if (leftOut.length === 0) return
  const why = leftOut.map(({ manager, reason }) => `${manager}: ${reason}`).join('; ')
  throw new AgentError(
    'HardwareManagerConfigurationError',
    `${step} takes all disks, and a hardware manager that may hide some is left out (${why}); mend or remove it, and start the machine anew`,
  )
}

function assertArgumentsKnown(name: string, accepts: readonly string[], call: StepCall): void {
  const unknown = Object.keys(call.args).filter((key) => !accepts.includes(key))
  if (unknown.length === 0) return
  const known = accepts.length > 0 ? accepts.join(', ') : 'none'
  throw new AgentError(
    'InvalidCommandParamsError',
    `step ${name} does not take ${unknown.join(', ')}; it takes ${known}`,
  )
}
