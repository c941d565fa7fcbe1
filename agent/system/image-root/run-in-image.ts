// SPDX-License-Identifier: Apache-2.0
// Owns running a script with the programs of a written image, which are a stranger's and run as root
// (CVE-2026-43003): in namespaces that end with it, without network, with no device but those named. Does not know
// what the script is for. Why it is built like this: docs/design/260-boot-loaders.md.
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { redactBounded } from '../../core/redact.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { createTail, ENDS_WITH_PARENT, type Exec } from '../exec.ts'
import { waitUntilFree } from './exclusive-access.ts'
import { EXIT_NOT_SET_UP, EXIT_NOT_UNMOUNTED, SET_UP_SCRIPT } from './set-up-script.ts'

/** A block device that the image's programs see. */
export interface ImageNode {
  /** Below /dev, `vda1`. */
  readonly name: string
  /** `major:minor`. */
  readonly deviceNumber: string
  /** Below /dev: `disk/by-uuid/…`. */
  readonly links: readonly string[]
}

export interface ImageRun {
  readonly exec: Exec
  readonly log: Pick<Logger, 'info'>
  /** What the log calls it. */
  readonly name: string
  /** The root file system, one of `nodes`. */
  readonly rootNode: string
  /** The ESP, one of `nodes`, and where below the image's root it is mounted: `boot/efi`. */
  readonly esp?: { readonly node: string; readonly at: string } | undefined
  /** All devices there are in the image's /dev, beside null, zero, full and the random ones. */
  readonly nodes: readonly ImageNode[]
  /** For the image's /bin/sh; a constant, `$1` and so on are `args`. */
  readonly script: string
  readonly args: readonly string[]
  /** Without white space. */
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export interface ImageRunResult {
  readonly exitCode: number
  /** The end of what it printed, secrets struck out. */
  readonly output: string
}

/** Kept of what a program prints, bytes, less than a field of the log holds; the rest is read and thrown away. */
const OUTPUT_BYTES = 4 * 1024
/** unshare ends what it starts with itself. */
const NAMESPACES = [
  ...['unshare', '--mount', '--propagation=private', '--net', '--pid', '--ipc', '--uts'],
  ...['--fork', '--kill-child', '--', '/bin/sh', '-c', SET_UP_SCRIPT, 'image-root'],
] as const
/** For the moment in which a killed agent's child has not yet asked to end with it: later than exec's own deadline. */
const GRACE_S = 10
/** A word that the set-up script may split without quotes. */
const WORD = /^[\w.:/=+,@-]+$/
/** All there are: what a failure of the image's program means, its caller knows. */
const EXIT_CODES = Array.from({ length: 256 }, (_, code) => code)

/**
 * Mounts the image, runs the script, unmounts. However it ends, nothing that it started runs and nothing is mounted;
 * that holds for a killed agent too.
 * Throws ProcessError when it cannot be set up, does not end in time, or the file systems stay in use;
 * TargetInUseError when they are in use before it begins.
 */
export async function runInImage(run: ImageRun): Promise<ImageRunResult> {
  if (run.signal) throwIfAborted(run.signal)
  const nodes = [run.rootNode, ...(run.esp ? [run.esp.node] : [])]
  const mounted = nodes.map((name) => `/dev/${wordOf(name)}`)
  for (const path of mounted) await waitUntilFree(path)
  const mountPoint = await mkdtemp(join(tmpdir(), 'ironswarm-image-root-'))
  try {
    return await runMounted(run, mountPoint)
  } finally {
    try {
      for (const path of mounted) await waitUntilFree(path)
    } finally {
      // what was mounted there was in a namespace that is gone: the folder is empty
      await rmdir(mountPoint)
    }
  }
}

async function runMounted(run: ImageRun, mountPoint: string): Promise<ImageRunResult> {
  const { exec, log, name, timeoutMs, signal } = run
  const tail = createTail(OUTPUT_BYTES)
  try {
    const { exitCode, stderr } = await exec(
      [...boundTo(timeoutMs), ...argumentsOf(run, mountPoint)],
      {
        timeoutMs,
        okExitCodes: EXIT_CODES,
        onStdout: tail.add,
        ...(signal ? { signal } : {}),
      },
    )
    const output = redactBounded(tail.text())
    log.info({ program: name, exit_code: exitCode, output }, 'ran in the image')
    // the set-up script and all that it starts write to stdout: this is of the programs around it
    if (stderr.trim() !== '') throw new AgentError('ProcessError', lastLine(stderr))
    if (exitCode !== EXIT_NOT_SET_UP && exitCode !== EXIT_NOT_UNMOUNTED) return { exitCode, output }
    throw new AgentError('ProcessError', lastLine(output))
  } catch (error) {
    if (signal) throwIfAborted(signal)
    if (!isAgentError(error, 'ProcessError')) throw error
    log.info({ program: name, output: redactBounded(tail.text()) }, 'broken off in the image')
    throw new AgentError('ProcessError', `${name}: ${error.details}`, { cause: error })
  }
}

/** Outside of the PID namespace, where no program of the image reaches it, and without the agent, which may be killed. */
function boundTo(timeoutMs: number) {
  const seconds = String(Math.ceil(timeoutMs / 1000) + GRACE_S)
  const deadline = ['timeout', '-s', 'KILL', seconds] as const
  return [...ENDS_WITH_PARENT, ...deadline, ...ENDS_WITH_PARENT, ...NAMESPACES] as const
}

/** What the set-up script takes. */
function argumentsOf({ rootNode, esp, nodes, env, script, args }: ImageRun, mountPoint: string) {
  const specs = nodes.flatMap(({ name, deviceNumber, links }) => [
    `b ${wordOf(name)} ${wordOf(deviceNumber).replace(':', ' ')}`,
    ...links.map((link) => `l ${wordOf(link)} ${name}`),
  ])
  const variables = Object.entries(env ?? {}).map(([name, value]) => wordOf(`${name}=${value}`))
  const places = [mountPoint, rootNode, esp?.node ?? '', esp?.at ?? '']
  return [...places, ...specs, '--', ...variables, '--', script, 'script', ...args]
}

function wordOf(text: string): string {
  if (WORD.test(text)) return text
  throw new Error(`not a plain word: ${JSON.stringify(text)}`)
}

/** The last line of what a program printed. */
export function lastLine(output: string): string {
  return output.trimEnd().split('\n').at(-1) ?? ''
}
