// SPDX-License-Identifier: Apache-2.0
// Owns the thread of one third-party manager: loads its file, calls it, and passes on what it asks of the agent. Does
// not judge what it answers (answers.ts) and sets no deadline (manager-thread.ts): it may hang here in any way.
import { AsyncLocalStorage } from 'node:async_hooks'
import { pathToFileURL } from 'node:url'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { Agent, HardwareManager, HardwareManagerModule, Step, StepCall } from './interface.ts'
import type { Asked, FromManager, ManagerTask, Outcome, ToManager } from './protocol.ts'

type Call = Extract<ToManager, { kind: 'call' }>
type StepRun = Extract<ToManager, { kind: 'step' }>

class Refusal extends Error {
  constructor(type: string, details: string) {
    super(details)
    this.name = type
  }
}

async function serve(port: MessagePort, task: ManagerTask): Promise<void> {
  const tell = (news: FromManager) => port.postMessage(news)
  const link = createLink(tell, task)
  const manager = await link.inCall(0, () => load(task, link.agent))
  const steps = manager.steps ?? []
  const aborts = new Map<number, AbortController>()

  const runCall = async ({ method, argsJson }: Call) => {
    const found = (manager as unknown as Record<string, unknown>)[method]
    if (typeof found !== 'function') throw new Refusal('CommandExecutionError', `no ${method}`)
    return await found.apply(manager, JSON.parse(argsJson))
  }
  const runStep = async ({ id, index, argsJson }: StepRun) => {
    const step = steps[index] as Step
    const abort = new AbortController()
    aborts.set(id, abort)
    const call: StepCall = {
      ...JSON.parse(argsJson),
      signal: abort.signal,
      writeImage: async (imageInfo, configdrive) =>
        String(await link.ask('writeImage', [imageInfo, configdrive])),
    }
    return await step.run(call)
  }
  const perform = (id: number, work: () => Promise<unknown>) => {
    const outcome = link.inCall(id, () => outcomeOf(work, task.maxChars))
    outcome
      .then((each) => tell({ kind: 'outcome', id, outcome: each }))
      .finally(() => aborts.delete(id))
  }
  port.on('message', (order: ToManager) => {
    if (order.kind === 'call') perform(order.id, () => runCall(order))
    else if (order.kind === 'step') perform(order.id, () => runStep(order))
    else if (order.kind === 'abort') aborts.get(order.id)?.abort()
    else link.answered(order.question, order.outcome)
  })
  tell({ kind: 'loaded', manifestJson: textOf(manifestOf(manager, task), task.maxChars) ?? '' })
}

/** What the manager is given, and the way of its questions. */
function createLink(tell: (news: FromManager) => void, { maxChars }: ManagerTask) {
  const call = new AsyncLocalStorage<number>()
  const open = new Map<number, PromiseWithResolvers<unknown>>()
  let questions = 0
  const ask = (what: Asked, args: readonly unknown[]): Promise<unknown> => {
    const question = ++questions
    const answer = Promise.withResolvers<unknown>()
    open.set(question, answer)
    const argsJson = textOf(args, maxChars) ?? '[]'
    tell({ kind: 'ask', question, id: call.getStore() ?? 0, what, argsJson })
    return answer.promise
  }
  const agent: Agent = {
    exec: async (argv, options = {}) => (await ask('exec', [argv, options])) as never,
    log: (level, message, facts = {}) =>
      tell({ kind: 'log', level, message: `${message}`, factsJson: textOf(facts, maxChars) ?? '' }),
    decline: (reason) => {
      throw new Refusal('IncompatibleHardwareMethodError', `${reason}`)
    },
    fail: (type, details) => {
      throw new Refusal(type, details)
    },
  }
  return {
    agent,
    ask,
    inCall: <T>(id: number, work: () => Promise<T>) => call.run(id, work),
    answered: (question: number, outcome: Outcome) => {
      const waiting = open.get(question)
      open.delete(question)
      if ('type' in outcome) waiting?.reject(new Refusal(outcome.type, outcome.details))
      else waiting?.resolve(outcome.json === undefined ? undefined : JSON.parse(outcome.json))
    },
  }
}

async function load({ path, apiVersion }: ManagerTask, agent: Agent): Promise<HardwareManager> {
  const module: Partial<HardwareManagerModule> = await import(pathToFileURL(path).href)
  if (module.apiVersion !== apiVersion) {
    const found = module.apiVersion === undefined ? 'none' : JSON.stringify(module.apiVersion)
    throw new Error(`it exports apiVersion ${found}; this agent knows ${apiVersion}`)
  }
  if (typeof module.createHardwareManager !== 'function') {
    throw new Error('it exports no function createHardwareManager')
  }
  const manager: unknown = await module.createHardwareManager(agent)
  if (typeof manager !== 'object' || manager === null) {
    throw new Error('its createHardwareManager gives no manager')
  }
  return manager as HardwareManager
}

/** What it offers, without the functions. */
function manifestOf(manager: HardwareManager, { calls }: ManagerTask) {
  const has = (name: string) =>
    typeof (manager as unknown as Record<string, unknown>)[name] === 'function'
  const steps: readonly Step[] = Array.isArray(manager.steps) ? manager.steps : []
  return {
    ...{ name: manager.name, version: manager.version, label: manager.label },
    evaluates: has('evaluateHardwareSupport'),
    initializes: has('initialize'),
    calls: calls.filter(has),
    steps: steps.map(({ run, ...step }) => ({ ...step, runs: typeof run === 'function' })),
  }
}

async function outcomeOf(work: () => Promise<unknown>, maxChars: number): Promise<Outcome> {
  try {
    const json = textOf(await work(), maxChars)
    return json === undefined ? {} : { json }
  } catch (error) {
    if (!(error instanceof Error)) return { type: 'Error', details: `${error}` }
    return { type: error.name, details: error.message.slice(0, maxChars) }
  }
}

function textOf(value: unknown, maxChars: number): string | undefined {
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined || text.length <= maxChars) return text
  throw new Error(`a value of ${text.length} characters of JSON; ${maxChars} are allowed`)
}

const port = parentPort
if (port) {
  serve(port, workerData).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error)
    port.postMessage({ kind: 'failed', message } satisfies FromManager)
  })
}
