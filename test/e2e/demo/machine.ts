// SPDX-License-Identifier: Apache-2.0
// Owns one machine of the demo: its identity, its disk (a loop device where they can be had, else the
// sparse file itself) and its agent, a process of its own that starts when the machine is switched on.
import { createHash } from 'node:crypto'
import { copyFile, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type AgentProcess, startAgent } from '../../support/agent-process.ts'
import { createLoopDevice, whyNoLoopDevices } from '../../support/loop-device.ts'
import { type ConfigDrive, makeConfigDrive } from './config-drive.ts'

export interface MachineOptions {
  /** 1 for the first. */
  readonly number: number
  readonly folder: string
  readonly diskBytes: number
  readonly hasConfigDrive: boolean
  readonly swarm: string
}

export interface Machine extends AsyncDisposable {
  readonly name: string
  readonly uuid: string
  readonly mac: string
  /** What the agent writes to. */
  readonly disk: string
  readonly configDrive: ConfigDrive | undefined
  /** Power on: the agent starts. */
  start(apiUrl: string): Promise<void>
  isOn(): boolean
  /** Power off: the agent ends, if it has not yet. */
  stop(): Promise<void>
  /** Exit code or signal of the agent; undefined while it runs. */
  ended(): number | string | undefined
  /** Resolves with exit code or signal if the agent ends badly and nobody stopped it. */
  readonly crashed: Promise<number | string>
  /** Most memory the agent has held so far, bytes. */
  readonly peakRssBytes: number
  /** Looks at the agent's memory; the figure is lost once the process is gone. */
  measure(): Promise<void>
  /** What the agent has logged; empty before it was started. */
  log(): Promise<string>
  /** Copies the agent's log to a file that outlives the demo. */
  keepLog(path: string): Promise<void>
}

/** A machine that is switched off, with an empty disk. */
export async function createMachine(options: MachineOptions): Promise<Machine> {
  const name = `node-${options.number}`
  const folder = join(options.folder, name)
  const digest = createHash('sha256').update(name).digest('hex')
  // the same names and uuids in every run; version and variant bits as RFC 9562 wants them
  const uuid = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-4${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`
  const mac = `52:54:00:00:0d:${options.number.toString(16).padStart(2, '0')}`
  await using stack = new AsyncDisposableStack()
  const disk = await makeDisk(stack, options, `${folder}.disk`)
  const configDrive = options.hasConfigDrive
    ? await makeConfigDrive(`${folder}.config-drive`, { uuid, name })
    : undefined
  let agent: AgentProcess | undefined
  let end: number | string | undefined
  let isStopped = false
  const crashed = Promise.withResolvers<number | string>()
  let peakRssBytes = 0
  stack.defer(() => agent?.[Symbol.asyncDispose]())
  const owned = stack.move()
  return {
    name,
    uuid,
    mac,
    disk,
    configDrive,
    start: async (apiUrl) => {
      agent = await startAgent({
        name,
        mac,
        device: disk,
        apiUrl,
        directory: folder,
        bootMode: 'uefi',
        options: { swarm_mode: options.swarm, debug: false },
      })
      void agent.exited.then((how) => {
        end = how
        if (how !== 0 && !isStopped) crashed.resolve(how)
      })
    },
    isOn: () => agent !== undefined && end === undefined,
    ended: () => end,
    crashed: crashed.promise,
    stop: async () => {
      isStopped = true
      await agent?.[Symbol.asyncDispose]()
    },
    get peakRssBytes() {
      return peakRssBytes
    },
    measure: async () => {
      peakRssBytes = Math.max(peakRssBytes, (await agent?.peakRssBytes()) ?? 0)
    },
    log: async () => (await agent?.log()) ?? '',
    keepLog: async (path) => {
      if (agent) await copyFile(agent.logFile, path)
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function makeDisk(
  stack: AsyncDisposableStack,
  { diskBytes, folder }: MachineOptions,
  path: string,
): Promise<string> {
  if (whyNoLoopDevices() === undefined) {
    const device = stack.use(await createLoopDevice({ sizeBytes: diskBytes, directory: folder }))
    return device.path
  }
  await using file = await open(path, 'w')
  await file.truncate(diskBytes)
  return path
}
