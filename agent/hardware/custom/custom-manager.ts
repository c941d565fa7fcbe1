// SPDX-License-Identifier: Apache-2.0
// Owns a third-party manager as the dispatcher knows managers: its calls and steps go to its thread, with a deadline,
// and what they answer is looked at. Does not find the file (load.ts).
import { AgentError, isAgentError, messageOf, toAgentError } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import { redactText } from '../../core/redact.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { warn } from '../../telemetry/operation.ts'
import type {
  HardwareManager,
  HardwareMethod,
  LogMember,
  StepCall,
  StepImplementation,
} from '../manager.ts'
import { CALL_NAMES, CALLS, type Manifest, parseAnswer, parseManifest } from './answers.ts'
import type { HardwareCalls, LogFile } from './interface.ts'
import { type ManagerThread, openManagerThread, type ThreadCall } from './manager-thread.ts'

export const API_VERSION = 1

export interface CustomManagerDeps {
  readonly exec: Exec
  readonly log: Logger
  readonly events: EventPublisher
  /** ms */
  readonly loadTimeoutMs: number
  /** Of a call, ms. */
  readonly timeoutMs: number
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
  const session = await openSession(path, deps)
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

/** The calls of one manager, over all threads that it had. */
interface Session {
  readonly manifest: Manifest
  initialize(): Promise<void>
  call(method: string, args: readonly unknown[], options?: Partial<ThreadCall>): Promise<unknown>
  runStep(index: number, call: StepCall, timeoutMs: number): Promise<unknown>
  close(): Promise<void>
}

async function openSession(path: string, deps: CustomManagerDeps): Promise<Session> {
  const { timeoutMs } = deps
  const task = { path, apiVersion: API_VERSION, calls: CALL_NAMES }
  const open = () => openManagerThread(task, deps, deps.loadTimeoutMs)
  const first = await open()
  const manifest = await parsedOrClosed(first)
  let thread: Promise<ManagerThread> = Promise.resolve(first)
  // with those that have been left, in which a long call may still run
  const threads = new Set([first])
  let opening: Promise<ManagerThread> | undefined
  let isInitialized = false
  let isClosed = false

  const initializeIn = async (alive: ManagerThread) => {
    if (manifest.initializes) await alive.call({ method: 'initialize' }, [], { timeoutMs })
  }
  const reopen = async () => {
    deps.log.info({ hardware_manager: manifest.name }, 'hardware manager is loaded again')
    const again = await open()
    for (const each of threads) if (each.hasEnded()) threads.delete(each)
    threads.add(again)
    const { name, version } = await parsedOrClosed(again)
    if (name !== manifest.name || version !== manifest.version) {
      await again[Symbol.asyncDispose]()
      throw new AgentError(
        'HardwareManagerConfigurationError',
        `${path} was ${manifest.name} ${manifest.version} and is ${name} ${version} now`,
      )
    }
    try {
      if (isInitialized) await initializeIn(again)
    } catch (error) {
      await again[Symbol.asyncDispose]()
      throw error
    }
    return again
  }
  /** One that had to be ended is started again, by whoever calls first. */
  const alive = async () => {
    const last = await thread.catch(() => undefined)
    if (isClosed) throw new AgentError('CancelledError', 'the hardware managers were closed')
    if (last?.isAlive()) return last
    opening ??= reopen().finally(() => {
      opening = undefined
    })
    thread = opening
    return await thread
  }
  return {
    manifest,
    initialize: async () => {
      await initializeIn(await alive())
      isInitialized = true
    },
    call: async (method, args, options) =>
      await (await alive()).call({ method }, args, { timeoutMs, ...options }),
    runStep: async (index, { node, ports, args, context }, stepTimeoutMs) =>
      await (await alive()).call(
        { step: index },
        { node, ports, args },
        {
          timeoutMs: stepTimeoutMs,
          signal: context.signal,
          writeImage: (imageInfo, configdrive) => context.writeImage(imageInfo, configdrive),
        },
      ),
    close: async () => {
      isClosed = true
      await thread.catch(() => undefined)
      await Promise.all([...threads].map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

async function parsedOrClosed(thread: ManagerThread): Promise<Manifest> {
  try {
    return parseManifest(thread.manifest)
  } catch (error) {
    await thread[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * The call as a method. `next`: a failure is a warning and the next manager is asked; `fail`: it is thrown, with the
 * manager's name.
 */
function methodOf(call: CallName, session: Session, deps: CustomManagerDeps) {
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
function stepsOf(session: Session, manifest: Manifest, index: number): StepImplementation[] {
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
