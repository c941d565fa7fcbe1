// SPDX-License-Identifier: Apache-2.0
// Owns the calls of one third-party manager over all threads that it had: one that had to be ended is started again by
// the next call. Does not know what calls mean (custom-manager.ts).
import { AgentError } from '../../core/errors.ts'
import type { StepCall } from '../manager.ts'
import { CALL_NAMES, type Manifest, parseManifest } from './answers.ts'
import {
  type ManagerThread,
  openManagerThread,
  type ThreadCall,
  type ThreadDeps,
} from './manager-thread.ts'

const API_VERSION = 1

export interface SessionDeps extends ThreadDeps {
  /** ms */
  readonly loadTimeoutMs: number
  /** Of a call, ms. */
  readonly timeoutMs: number
}

interface Loaded {
  readonly thread: ManagerThread
  readonly manifest: Manifest
}

export class ManagerSession {
  readonly manifest: Manifest
  readonly #path: string
  readonly #deps: SessionDeps
  #thread: Promise<ManagerThread>
  /** With those that have been left, in which a long call may still run. */
  readonly #threads: Set<ManagerThread>
  #opening: Promise<ManagerThread> | undefined
  #isInitialized = false
  #isClosed = false

  /** Loads the file. Throws HardwareManagerConfigurationError. */
  static async open(path: string, deps: SessionDeps): Promise<ManagerSession> {
    return new ManagerSession(path, deps, await load(path, deps))
  }

  private constructor(path: string, deps: SessionDeps, { thread, manifest }: Loaded) {
    this.manifest = manifest
    this.#path = path
    this.#deps = deps
    this.#thread = Promise.resolve(thread)
    this.#threads = new Set([thread])
  }

  async initialize(): Promise<void> {
    await this.#initializeIn(await this.#alive())
    this.#isInitialized = true
  }

  /** See {@link ManagerThread.call}. */
  async call(
    method: string,
    args: readonly unknown[],
    options?: Partial<ThreadCall>,
  ): Promise<unknown> {
    const thread = await this.#alive()
    return await thread.call({ method }, args, { timeoutMs: this.#deps.timeoutMs, ...options })
  }

  /** @param index of the step in the manifest */
  async runStep(
    index: number,
    { node, ports, args, context }: StepCall,
    timeoutMs: number,
  ): Promise<unknown> {
    const thread = await this.#alive()
    return await thread.call(
      { step: index },
      { node, ports, args },
      {
        timeoutMs,
        signal: context.signal,
        writeImage: (imageInfo, configdrive) => context.writeImage(imageInfo, configdrive),
      },
    )
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#thread.catch(() => undefined)
    await Promise.all([...this.#threads].map((each) => each[Symbol.asyncDispose]()))
  }

  /** One that had to be ended is started again, by whoever calls first. */
  async #alive(): Promise<ManagerThread> {
    const last = await this.#thread.catch(() => undefined)
    if (this.#isClosed) throw new AgentError('CancelledError', 'the hardware managers were closed')
    if (last?.isAlive()) return last
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = undefined
    })
    this.#thread = this.#opening
    return await this.#thread
  }

  async #reopen(): Promise<ManagerThread> {
    const { name, version } = this.manifest
    this.#deps.log.info({ hardware_manager: name }, 'hardware manager is loaded again')
    const { thread, manifest } = await load(this.#path, this.#deps)
    for (const each of this.#threads) if (each.hasEnded()) this.#threads.delete(each)
    this.#threads.add(thread)
    try {
      if (manifest.name !== name || manifest.version !== version) {
        throw new AgentError(
          'HardwareManagerConfigurationError',
          `${this.#path} was ${name} ${version} and is ${manifest.name} ${manifest.version} now`,
        )
      }
      if (this.#isInitialized) await this.#initializeIn(thread)
    } catch (error) {
      await thread[Symbol.asyncDispose]()
      throw error
    }
    return thread
  }

  async #initializeIn(thread: ManagerThread): Promise<void> {
    if (!this.manifest.initializes) return
    await thread.call({ method: 'initialize' }, [], { timeoutMs: this.#deps.timeoutMs })
  }
}

async function load(path: string, deps: SessionDeps): Promise<Loaded> {
  const task = { path, apiVersion: API_VERSION, calls: CALL_NAMES }
  const thread = await openManagerThread(task, deps, deps.loadTimeoutMs)
  try {
    return { thread, manifest: parseManifest(thread.manifest) }
  } catch (error) {
    await thread[Symbol.asyncDispose]()
    throw error
  }
}
