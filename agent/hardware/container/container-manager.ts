// SPDX-License-Identifier: Apache-2.0
// Owns the steps that run containers (contract 7.9): which image may run with which options, pulling it, running it.
// Who names an image in the arguments of a step may run only what the configuration allows.
import { readFileSync } from 'node:fs'
import type { Config } from '../../config/options.ts'
import { AgentError, messageOf, systemErrorCode } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import {
  type HardwareManager,
  type OtherManagers,
  type StepCall,
  type StepImplementation,
  SUPPORT,
} from '../manager.ts'
import { authorizedRun, removeLeftAuthorizations } from './authorization.ts'
import { type RunnableImage, runContainer } from './run-container.ts'
import { type ContainerStep, parseContainerSteps, wordsOf } from './steps-file.ts'

export interface ContainerManagerDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** As it is now: the lookup changes it. */
  readonly config: () => Config
}

const RUNNERS = ['podman', 'docker'] as const
/** A program of 33 MB, read from a compressed root. */
const VERSION_TIMEOUT_MS = 60_000
const PULL_TIMEOUT_MS = 3600 * 1000
/** Of what it prints. */
const TAIL_BYTES = 16 * 1024

/** Only those of a registry: any other names an image of the machine, which no list of registries speaks of. */
const TRANSPORT = /^(docker|oci):\/\//

const ARGUMENTS = {
  container_url: { description: 'Container image URL', required: true },
  pull_options: { description: 'Pull options', required: false },
  run_options: { description: 'Run options', required: false },
} as const

/** The manager `ContainerHardwareManager`, of ramdisks with podman or docker. */
export function createContainerManager(deps: ContainerManagerDeps): HardwareManager {
  const { exec, config, log } = deps
  const steps = new ContainerSteps(deps)
  return {
    name: 'ContainerHardwareManager',
    version: '2',
    label: 'ContainerHardwareManager',
    evaluateHardwareSupport: async () => {
      for (const runner of RUNNERS) {
        const isThere = await assertRuns(exec, runner).then(
          () => true,
          () => false,
        )
        if (isThere) return SUPPORT.MAINLINE
      }
      return SUPPORT.NONE
    },
    initialize: async (others) => {
      steps.join(others)
      await removeLeftAuthorizations(config().run_dir)
    },
    /** A file that is wrong costs its own steps, not those of others: `assertSteps` says so where they are listed. */
    get steps() {
      try {
        return [...steps.own, ...steps.ofFile()]
      } catch (error) {
        log.error({ reason: messageOf(error) }, 'container steps cannot be read')
        return steps.own
      }
    },
    assertSteps: () => void steps.ofFile(),
  }
}

class ContainerSteps {
  readonly #deps: ContainerManagerDeps
  /** Those whose arguments name the image. */
  readonly own: readonly StepImplementation[]
  #others: OtherManagers | undefined

  constructor(deps: ContainerManagerDeps) {
    this.#deps = deps
    this.own = [this.#named('generic_container_step'), this.#named('container_clean_step')]
  }

  join(others: OtherManagers): void {
    this.#others = others
  }

  /** Those of whoever built the ramdisk. Throws HardwareManagerConfigurationError. */
  ofFile(): StepImplementation[] {
    const names = this.own.map(({ announce }) => announce.step)
    const taken = [...names, ...(this.#others?.stepNames() ?? [])]
    return readStepsFile(this.#deps, taken).flatMap((step) =>
      trustedSteps(step, this.#deps.config, (image, call) => this.#run(image, call)),
    )
  }

  #named(step: string): StepImplementation {
    return {
      kinds: ['clean', 'deploy', 'service'],
      announce: {
        ...{ step, priority: 0, interface: 'deploy', reboot_requested: false, abortable: true },
        argsinfo: ARGUMENTS,
      },
      accepts: Object.keys(ARGUMENTS),
      run: async (call) => await this.#run(permitted(this.#deps.config(), call), call),
    }
  }

  async #run(image: ContainerRun, { context: { signal } }: StepCall): Promise<null> {
    const { exec, config, log } = this.#deps
    const { runner, run_dir: folder } = config()
    await assertRuns(exec, runner)
    const work = {
      options: image.pullOptions,
      image: image.url,
      pull: async (options: readonly string[]) => {
        const argv = [runner, 'pull', ...options, image.url] as const
        await exec(argv, { timeoutMs: PULL_TIMEOUT_MS, signal, tailBytes: TAIL_BYTES })
      },
      run: () => runContainer(image, { exec, log, runner, folder, signal }),
    }
    await authorizedRun(work, { folder, log })
    return null
  }
}

interface ContainerRun extends RunnableImage {
  readonly pullOptions: readonly string[]
}

async function assertRuns(exec: Exec, runner: string): Promise<void> {
  try {
    await exec([runner, '--version'], { timeoutMs: VERSION_TIMEOUT_MS })
  } catch (error) {
    throw new AgentError(
      'HardwareManagerConfigurationError',
      `the container runner ${runner} cannot be used in this ramdisk: ${messageOf(error)}`,
    )
  }
}

/**
 * What a step's arguments ask for, as far as they may: an image that `allowed_containers` names exactly, with the
 * options of the configuration; any image with any options only where `allow_arbitrary_containers` is on.
 * @throws AgentError InvalidCommandParamsError, ContainerNotPermittedError
 */
export function permitted(
  config: Pick<
    Config,
    'allow_arbitrary_containers' | 'allowed_containers' | 'pull_options' | 'run_options'
  >,
  { args }: Pick<StepCall, 'args'>,
): ContainerRun {
  const url = args['container_url']
  if (typeof url !== 'string' || !/^[\w[]/.test(url) || /\s/.test(url)) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'container_url must be the reference of an image, without blanks',
    )
  }
  const own = {
    pullOptions: wordsOf(config.pull_options) ?? [],
    runOptions: wordsOf(config.run_options) ?? [],
  }
  if (config.allow_arbitrary_containers) {
    return {
      url,
      pullOptions: wordsAt(args, 'pull_options') ?? own.pullOptions,
      runOptions: wordsAt(args, 'run_options') ?? own.runOptions,
    }
  }
  const bare = (reference: string) => reference.replace(TRANSPORT, '')
  if (config.allowed_containers.some((allowed) => bare(allowed) === bare(url))) {
    return { url, ...own }
  }
  const allowed = config.allowed_containers.join(', ') || 'none'
  throw new AgentError(
    'ContainerNotPermittedError',
    `${url} is not among allowed_containers (${allowed}), and allow_arbitrary_containers is off`,
  )
}

function wordsAt(args: StepCall['args'], key: string): readonly string[] | undefined {
  const value = args[key]
  if (value === undefined || value === null || value === '') return undefined
  const words = wordsOf(value)
  if (words !== undefined) return words.length > 0 ? words : undefined
  throw new AgentError('InvalidCommandParamsError', `${key} must be text or a list of texts`)
}

/** By whoever built the ramdisk: its own options, and a priority that counts for cleaning alone. */
function trustedSteps(
  step: ContainerStep,
  config: () => Config,
  run: (image: ContainerRun, call: StepCall) => Promise<null>,
): StepImplementation[] {
  const announce = (priority: number) => ({
    step: step.name,
    priority,
    interface: step.interface,
    reboot_requested: step.rebootRequested,
    abortable: step.abortable,
  })
  const perform = (call: StepCall) =>
    run(
      {
        url: step.image,
        pullOptions: step.pullOptions ?? wordsOf(config().pull_options) ?? [],
        runOptions: step.runOptions ?? wordsOf(config().run_options) ?? [],
      },
      call,
    )
  return [
    { kinds: ['clean'], announce: announce(step.priority), accepts: [], run: perform },
    { kinds: ['deploy', 'service'], announce: announce(0), accepts: [], run: perform },
  ]
}

/** No file is no steps. One that has the name of another's step would run in its place. */
function readStepsFile(
  { root, config }: ContainerManagerDeps,
  taken: readonly string[],
): ContainerStep[] {
  const path = config().container_steps_file
  let text: string
  try {
    text = readFileSync(root.path(path), 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw new AgentError(
      'HardwareManagerConfigurationError',
      `the container steps of ${path} cannot be read: ${messageOf(error)}`,
    )
  }
  const steps = parseContainerSteps(text, path)
  const shadow = steps.find(({ name }) => taken.includes(name))
  if (shadow === undefined) return steps
  throw new AgentError(
    'HardwareManagerConfigurationError',
    `${path}: there is a step ${shadow.name} already, which a container must not take the place of; rename it`,
  )
}
