// SPDX-License-Identifier: Apache-2.0
// Owns nodes as processes, as a test sees them: started here or on a machine of a laboratory network,
// listened to, ended. What a node does is node-process.ts's.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stopChild } from '../../support/processes.ts'
import type { LabMachine } from './namespaces.ts'
import type { NodeSettings } from './node-process.ts'

export interface NodeFigures {
  readonly sha256: string
  readonly peerBytes: number
  readonly originBytes: number
}

export interface NodeProcess extends AsyncDisposable {
  readonly child: ChildProcess
  /** Half of the image is there. */
  readonly half: Promise<void>
  /** All of it. Rejects if the process ends before. */
  readonly done: Promise<NodeFigures>
}

/** A folder for torrents and images, removed at the end. */
export async function createFolder(): Promise<
  { write(name: string, bytes: Uint8Array): Promise<string> } & AsyncDisposable
> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-nodes-'))
  return {
    write: async (name, bytes) => {
      const path = join(folder, name)
      await writeFile(path, bytes)
      return path
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

export interface OriginProcess extends AsyncDisposable {
  readonly url: string
  /** Up to a tenth of a second ago. */
  sentBytes(): number
}

/** The test origin on a machine of a laboratory network. @param rate bytes per second */
export async function startOriginProcess(
  machine: LabMachine,
  imagePath: string,
  rate: number,
): Promise<OriginProcess> {
  const script = join(import.meta.dirname, 'origin-process.ts')
  const argv = [process.execPath, script, imagePath, machine.address, String(rate)]
  const [command, ...args] = [...machine.on, ...argv] as [string, ...string[]]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let tail = ''
  let sentBytes = 0
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-1000)
      sentBytes = Number([...tail.matchAll(/^sent (\d+)\n/gm)].at(-1)?.[1] ?? sentBytes)
      const found = /^url (.*)\n/m.exec(tail)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('close', () => reject(new Error('the origin ended')))
  })
  return {
    url,
    sentBytes: () => sentBytes,
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
    },
  }
}

export function startNodeProcess(settings: NodeSettings, machine?: LabMachine): NodeProcess {
  const script = join(import.meta.dirname, 'node-process.ts')
  const argv = [...(machine?.on ?? []), process.execPath, script, JSON.stringify(settings)]
  const [command, ...args] = argv as [string, ...string[]]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const half = Promise.withResolvers<void>()
  const done = Promise.withResolvers<NodeFigures>()
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (/^half$/m.test(text)) half.resolve()
    const figures = /^done (.*)$/m.exec(text)?.[1]
    if (figures !== undefined) done.resolve(JSON.parse(figures))
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  void ended.then(() => {
    const error = new Error(`the node ended with ${child.exitCode ?? child.signalCode}`)
    half.reject(error)
    done.reject(error)
  })
  half.promise.catch(() => undefined)
  done.promise.catch(() => undefined)
  return {
    child,
    half: half.promise,
    done: done.promise,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
      await ended
    },
  }
}
