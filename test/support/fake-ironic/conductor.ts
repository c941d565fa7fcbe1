// SPDX-License-Identifier: Apache-2.0
// Owns one deployment as 21.4's conductor runs it: acts on heartbeats only, decides from the list of
// commands, runs the steps by priority, collects logs on failure (contract 8.2 to 8.4).
import {
  type AgentCall,
  type AgentClient,
  AgentInProgress,
  ContractViolation,
  createAgentClient,
  type WireResult,
} from './agent-client.ts'
import { forgetBoot, type NodeRecord, portViews, stepView } from './node.ts'
import { planSteps, type Step } from './steps.ts'

export type BootMode = 'uefi' | 'bios'

/** How the machine's power is switched; the demo kills and starts agent processes here. */
export interface PowerSwitch {
  /** Reboots the node into the ramdisk: a deployment begins. */
  on?(node: NodeRecord): void | Promise<void>
  /** True while the node still runs; polled after standby.power_off. */
  isOn?(node: NodeRecord): boolean | Promise<boolean>
  /** Hard power-off. */
  off?(node: NodeRecord): void | Promise<void>
}

export interface ConductorOptions {
  readonly callbackTimeoutMs: number
  readonly commandTimeoutMs: number
  readonly commandAttempts: number
  readonly commandRetryDelayMs: number
  readonly pollIntervalMs: number
  readonly powerOffWaitMs: number
  readonly sendTokenOnGet: boolean
  readonly minTlsVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly power: PowerSwitch
  onCall(node: NodeRecord, call: AgentCall): void
  onState(node: NodeRecord): void
}

export interface DeployOutcome {
  readonly state: 'active' | 'deploy failed'
  /** `last_error` of the node. */
  readonly error: string | null
  /** True if the stand-in saw an answer that breaks the contract. */
  readonly contractViolated: boolean
  readonly seconds: number
  /** tar.gz of log.collect_system_logs; null when none was asked for or none came. */
  readonly logBundle: Buffer | null
  readonly partitionUuids: Record<string, unknown> | null
  /** `deploy_result` of write_image. */
  readonly writeResult: unknown
  /** The agent went off by itself after standby.power_off. */
  readonly poweredOffItself: boolean
  /** Steps the conductor took for done because the agent came back with an empty list (8.3 hazard). */
  readonly skippedSteps: readonly string[]
}

export interface Deployment {
  readonly outcome: Promise<DeployOutcome>
  /** A heartbeat was accepted while the node waits. */
  heartbeat(): void
  abort(reason: string): void
}

export interface DeploymentRequest {
  readonly imageInfo: Record<string, unknown>
  readonly configdrive: unknown
  readonly bootMode: BootMode
}

/** Starts a deployment; the node goes to `wait call-back` and waits for its agent. */
export function startDeployment(
  node: NodeRecord,
  request: DeploymentRequest,
  options: ConductorOptions,
): Deployment {
  const startedAt = performance.now()
  const outcome = Promise.withResolvers<DeployOutcome>()
  const skippedSteps: string[] = []
  let steps: Step[] | undefined
  let versions: unknown
  let at = -1
  let running: Step | undefined
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  let logBundle: Buffer | null = null
  let partitionUuids: Record<string, unknown> | null = null
  let writeResult: unknown = null
  let poweredOffItself = false

  const setState = (state: NodeRecord['state']) => {
    if (node.state === state) return
    node.state = state
    options.onState(node)
  }
  const client = (): AgentClient =>
    createAgentClient(
      { url: node.agentUrl as string, token: node.token as string, verifyCa: node.agentVerifyCa },
      {
        timeoutMs: options.commandTimeoutMs,
        attempts: options.commandAttempts,
        retryDelayMs: options.commandRetryDelayMs,
        sendTokenOnGet: options.sendTokenOnGet,
        minTlsVersion: options.minTlsVersion,
        onCall: (call) => options.onCall(node, call),
      },
    )
  const parameters = (showConfigdrive: boolean) => ({
    node: stepView(node, { showConfigdrive }),
    ports: portViews(node),
  })

  const end = async (state: 'active' | 'deploy failed', error: string | null, violated = false) => {
    if (isOver) return
    isOver = true
    clearTimeout(timer)
    node.lastError = error
    if (state === 'deploy failed') await options.power.off?.(node)
    forgetBoot(node)
    setState(state)
    outcome.resolve({
      state,
      error,
      contractViolated: violated,
      seconds: (performance.now() - startedAt) / 1000,
      logBundle,
      partitionUuids,
      writeResult,
      poweredOffItself,
      skippedSteps,
    })
  }

  const fail = async (error: string, violated = false) => {
    if (isOver) return
    if (node.agentUrl !== null && node.token !== null) {
      logBundle = await collectLogs(client()).catch(() => null)
    }
    await end('deploy failed', error, violated)
  }

  const waitForHeartbeat = () => {
    if (isOver) return
    setState('wait call-back')
    clearTimeout(timer)
    timer = setTimeout(() => {
      void fail(`Timeout reached while waiting for callback for node ${node.uuid}`)
    }, options.callbackTimeoutMs)
  }

  /** In-band steps go to the agent and end this round; the others are done here. */
  const runSteps = async (): Promise<void> => {
    while (steps !== undefined && at + 1 < steps.length) {
      const step = steps[++at] as Step
      node.deployStep = { step: step.step, priority: step.priority, interface: step.interface }
      if (step.inBand) {
        running = step
        const sent = { interface: step.interface, step: step.step, args: step.args ?? {} }
        await client().command(
          'deploy.execute_deploy_step',
          { step: sent, ...parameters(true), deploy_version: versions },
          false,
        )
        return waitForHeartbeat()
      }
      await runOutOfBand(step)
    }
    await end('active', null)
  }

  const runOutOfBand = async (step: Step): Promise<void> => {
    if (step.step === 'prepare_instance_boot') await prepareBoot()
    if (step.step === 'tear_down_agent') await tearDownAgent()
  }

  const prepareBoot = async () => {
    const uuids = await client().command('standby.get_partition_uuids', {}, true)
    mustSucceed(uuids)
    partitionUuids = uuids.command_result
    if (request.bootMode !== 'uefi') return
    const rootUuid = partitionUuids?.['root uuid'] ?? null
    const started = await client().command(
      'image.install_bootloader',
      {
        root_uuid: rootUuid,
        efi_system_part_uuid: null,
        prep_boot_part_uuid: null,
        target_boot_mode: 'uefi',
      },
      false,
    )
    await poll(started)
  }

  /** Polls the list until the newest install_bootloader has ended; at most 100 times (8.4 row 6). */
  const poll = async (started: WireResult) => {
    for (let polls = 0; polls < 100; polls++) {
      const listed = (await client().list()).findLast(
        (entry) => entry.command_name === started.command_name,
      )
      if (listed !== undefined && listed.command_status !== 'RUNNING') return mustSucceed(listed)
      await pause(options.pollIntervalMs)
    }
    throw new Error(`${started.command_name} did not end in time`)
  }

  const tearDownAgent = async () => {
    await client().command('standby.power_off', {}, false)
    const deadline = performance.now() + options.powerOffWaitMs
    while (options.power.isOn !== undefined && performance.now() < deadline) {
      if (!(await options.power.isOn(node))) {
        poweredOffItself = true
        return
      }
      await pause(100)
    }
    await options.power.off?.(node)
  }

  const advance = async (): Promise<void> => {
    if (steps === undefined) {
      const listed = await client().command('deploy.get_deploy_steps', parameters(false), true)
      mustSucceed(listed)
      versions = listed.command_result?.['hardware_manager_version']
      const { imageInfo, configdrive } = request
      steps = planSteps(listed, { image_info: imageInfo, configdrive })
    }
    const commands = await client().list()
    const last = commands.at(-1)
    if (last === undefined || isFreshlyBooted(commands)) {
      if (running !== undefined) skippedSteps.push(running.step)
      return runSteps()
    }
    return decide(last)
  }

  /** What the newest entry says of the step that runs (contract 8.3). */
  const decide = (last: WireResult): Promise<void> | void => {
    const isStep = last.command_name === 'execute_deploy_step'
    if (!isStep || last.command_status === 'RUNNING') return waitForHeartbeat()
    if (last.command_status !== 'SUCCEEDED') {
      return fail(`Agent returned error for deploy step ${running?.step}: ${errorText(last)}.`)
    }
    const echo = last.command_result?.['deploy_step'] as Step | undefined
    if (echo?.step !== running?.step || echo?.interface !== running?.interface) {
      return waitForHeartbeat()
    }
    checkEcho(echo, running, options.sendTokenOnGet)
    if (echo?.step === 'write_image') writeResult = last.command_result?.['deploy_result']
    return runSteps()
  }

  setState('deploying')
  forgetBoot(node)
  node.deployStep = { step: 'deploy', priority: 100, argsinfo: null, interface: 'deploy' }
  waitForHeartbeat()
  Promise.resolve(options.power.on?.(node)).catch((error: unknown) =>
    fail(`The node did not power on: ${String(error)}`),
  )

  return {
    outcome: outcome.promise,
    abort: (reason) => void end('deploy failed', reason),
    heartbeat: () => {
      if (node.state !== 'wait call-back' || node.locked || isOver) return
      node.locked = true
      clearTimeout(timer)
      setState('deploying')
      void advance()
        .catch((error: unknown) => {
          if (error instanceof AgentInProgress) return waitForHeartbeat()
          return fail(
            `Failed to process the next deploy step: ${textOf(error)}`,
            isViolation(error),
          )
        })
        .finally(() => {
          node.locked = false
        })
    },
  }
}

/** 21.4: empty, or exactly one entry that is get_deploy_steps (contract 8.3). */
function isFreshlyBooted(commands: readonly WireResult[]): boolean {
  return (
    commands.length === 0 ||
    (commands.length === 1 && commands[0]?.command_name === 'get_deploy_steps')
  )
}

/**
 * The echo must be the step as it was sent, arguments included (contract 5.1), but for texts that are too long
 * to be kept, and for the secrets in a list that was asked for without the token. Interface and step, all that
 * the real one compares (contract 8.3), are the same already.
 */
function checkEcho(echo: unknown, sent: Step | undefined, isTokenSent: boolean): void {
  const { args } = echo as { args?: unknown }
  if (comparable(args, isTokenSent) !== comparable(sent?.args ?? {}, isTokenSent)) {
    throw new ContractViolation('deploy_step in the result is not the step that was sent')
  }
}

const SECRETS = ['configdrive', 'content', 'image_request_authorization', 'image_server_password']
const LONGEST_ECHO = 64 * 1024

function comparable(args: unknown, isTokenSent: boolean): string {
  return JSON.stringify(args, (key, item) => {
    if (typeof item !== 'string') return item
    const isLong = item.length > LONGEST_ECHO || /^<\d+ .*not kept/.test(item)
    if (isLong || (!isTokenSent && SECRETS.includes(key))) return '…'
    return isTokenSent ? item : item.replace(/\?.*/s, '')
  })
}

function mustSucceed(result: WireResult): void {
  if (result.command_status === 'SUCCEEDED') return
  throw new Error(`Agent command ${result.command_name} failed: ${errorText(result)}`)
}

async function collectLogs(client: AgentClient): Promise<Buffer | null> {
  const result = await client.command('log.collect_system_logs', {}, true)
  const logs = result.command_result?.['system_logs']
  return typeof logs === 'string' ? Buffer.from(logs, 'base64') : null
}

function errorText(result: WireResult): string {
  return result.command_error?.details || result.command_error?.message || 'no error text'
}

function isViolation(error: unknown): boolean {
  return error instanceof ContractViolation
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
