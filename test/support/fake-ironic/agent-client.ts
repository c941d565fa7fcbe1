// SPDX-License-Identifier: Apache-2.0
// Owns the conductor's side of the agent's REST API: posts commands and lists results the way 21.4
// does, and refuses every answer that breaks the contract. Does not decide what to send.
import { Agent, request } from 'undici'

/** A result as it came over the wire. */
export interface WireResult {
  readonly id: string
  readonly command_name: string
  readonly command_status: string
  readonly command_error: { type: string; code: number; message: string; details: string } | null
  readonly command_result: Record<string, unknown> | null
}

export interface AgentTarget {
  readonly url: string
  readonly token: string
  readonly verifyCa: string | null
}

export interface AgentCall {
  readonly method: string
  readonly path: string
  readonly name: string | null
  readonly params: unknown
  readonly status: number
  readonly answer: unknown
}

/** The agent answered 409: the conductor tries again at the next heartbeat. */
export class AgentInProgress extends Error {}
/** The agent could not be reached, or answered with an error status. */
export class AgentCallFailed extends Error {}
/** The answer breaks the contract; 21.4 would choke on it or misread it. */
export class ContractViolation extends Error {}

export interface AgentClientOptions {
  readonly timeoutMs: number
  readonly attempts: number
  readonly retryDelayMs: number
  /** Conductors since 2024.1 send the token on GET too (contract 4.5). */
  readonly sendTokenOnGet: boolean
  readonly minTlsVersion: 'TLSv1.2' | 'TLSv1.3'
  onCall(call: AgentCall): void
}

export interface AgentClient {
  command(name: string, params: unknown, wait: boolean): Promise<WireResult>
  list(): Promise<WireResult[]>
  status(): Promise<Record<string, unknown>>
}

const RESULT_KEYS = ['command_error', 'command_name', 'command_result', 'command_status', 'id']
const STATUSES = ['RUNNING', 'SUCCEEDED', 'FAILED', 'CLEAN_VERSION_MISMATCH']

export function createAgentClient(target: AgentTarget, options: AgentClientOptions): AgentClient {
  const send = async (method: 'GET' | 'POST', path: string, body?: unknown) => {
    const dispatcher = new Agent({
      connect: {
        minVersion: options.minTlsVersion,
        ...(target.verifyCa === null ? {} : { ca: target.verifyCa }),
      },
    })
    try {
      const response = await request(target.url + path, {
        dispatcher,
        method,
        headers: {
          'user-agent': 'python-requests/2.28.1',
          accept: '*/*',
          'content-type': 'application/json',
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        headersTimeout: options.timeoutMs,
        bodyTimeout: options.timeoutMs,
      })
      const text = await response.body.text()
      return { status: response.statusCode, answer: parse(text, `${method} ${bare(path)}`) }
    } finally {
      await dispatcher.destroy()
    }
  }

  const list = async (): Promise<WireResult[]> => {
    const path = options.sendTokenOnGet
      ? `/v1/commands/?agent_token=${target.token}`
      : '/v1/commands/'
    const { status, answer } = await retry(options, () => send('GET', path))
    options.onCall({ method: 'GET', path: bare(path), name: null, params: null, status, answer })
    const commands = (answer as { commands?: unknown }).commands
    if (!Array.isArray(commands)) throw new AgentCallFailed("'commands'")
    return commands.map((entry) => checkResult(entry))
  }

  return {
    list,
    status: async () => (await send('GET', '/v1/status')).answer as Record<string, unknown>,
    command: async (name, params, wait) => {
      const short = name.split('.')[1] as string
      const path = `/v1/commands/?wait=${wait}&agent_token=${target.token}`
      const adopt = async () => {
        const last = (await list().catch(() => [])).at(-1)
        return last?.command_name === short && last.command_status === 'RUNNING' ? last : undefined
      }
      const reply = await retry(options, () => send('POST', path, { name, params }), adopt)
      if ('id' in reply) return reply
      const { status, answer } = reply
      options.onCall({ method: 'POST', path: bare(path), name, params, status, answer })
      if (status >= 400) throw errorFor(name, status, answer)
      const result = checkResult(answer)
      if (result.command_name !== short) {
        throw new ContractViolation(`${name} was recorded as ${result.command_name}`)
      }
      return result
    },
  }
}

/** Up to `attempts` tries on connection errors; `adopt` may find that the last one got through (8.1). */
async function retry<T, A = never>(
  options: AgentClientOptions,
  attempt: () => Promise<T>,
  adopt?: () => Promise<A | undefined>,
): Promise<T | A> {
  for (let left = options.attempts; ; ) {
    try {
      return await attempt()
    } catch (error) {
      if (error instanceof ContractViolation) throw error
      if (--left <= 0) {
        throw new AgentCallFailed(`Failed to connect to the agent: ${textOf(error)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, options.retryDelayMs))
      const adopted = await adopt?.()
      if (adopted !== undefined) return adopted
    }
  }
}

function textOf(error: unknown): string {
  const cause =
    error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${error instanceof Error ? error.message : String(error)}${cause}`
}

function bare(path: string): string {
  return path.replace(/agent_token=[^&]*/, 'agent_token=…')
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ContractViolation(`${what}: the answer is not JSON: ${text.slice(0, 200)}`)
  }
}

function errorFor(name: string, status: number, answer: unknown): Error {
  const { faultstring } = answer as { faultstring?: unknown }
  if (typeof faultstring !== 'string') {
    return new ContractViolation(`${name}: ${status} without a faultstring that is a string`)
  }
  if (status === 409 || faultstring.toLowerCase().includes('agent is busy')) {
    return new AgentInProgress(faultstring)
  }
  return new AgentCallFailed(`Agent API for ${name} answered ${status}: ${faultstring}`)
}

/** Exactly five keys, known states, an error object exactly where there is an error (contract 4.3, 4.4). */
function checkResult(value: unknown): WireResult {
  if (typeof value !== 'object' || value === null) {
    throw new ContractViolation(`a result is not an object: ${JSON.stringify(value)}`)
  }
  const keys = Object.keys(value).sort()
  if (keys.join() !== RESULT_KEYS.join()) {
    throw new ContractViolation(`a result has the keys ${keys.join()}`)
  }
  const result = value as WireResult
  if (!STATUSES.includes(result.command_status)) {
    throw new ContractViolation(`unknown command_status ${result.command_status}`)
  }
  if (result.command_name.includes('.')) {
    throw new ContractViolation(`command_name ${result.command_name} is not the short name`)
  }
  const isBad = result.command_status === 'FAILED' || result.command_status.endsWith('MISMATCH')
  const error = result.command_error
  if (isBad !== (error !== null)) {
    throw new ContractViolation(
      `${result.command_status} with command_error ${JSON.stringify(error)}`,
    )
  }
  if (error !== null && Object.keys(error).sort().join() !== 'code,details,message,type') {
    throw new ContractViolation(`command_error has the keys ${Object.keys(error).join()}`)
  }
  if (result.command_result !== null && typeof result.command_result !== 'object') {
    throw new ContractViolation('command_result is neither an object nor null')
  }
  return result
}
