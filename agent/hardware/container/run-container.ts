// SPDX-License-Identifier: Apache-2.0
// Owns one container from its start to its end: nothing of it runs on when its step has failed, was aborted or took too
// long. Does not pull, and does not judge which image may run.
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'

export interface RunnableImage {
  readonly url: string
  readonly runOptions: readonly string[]
  /** Instead of the image's own command. */
  readonly command?: readonly string[]
}

export interface ContainerDeps {
  readonly exec: Exec
  readonly log: Logger
  /** podman or docker */
  readonly runner: string
  /** For the file with its id. */
  readonly folder: string
  readonly signal: AbortSignal | undefined
  /** Longest time, ms; a day unless given. */
  readonly timeoutMs?: number
}

const RUN_TIMEOUT_MS = 24 * 3600 * 1000
/** Podman gives a container 10 s to end by itself. */
const REMOVE_TIMEOUT_MS = 60_000
/** Of each of stdout and stderr, for the log and the error. */
const TAIL_BYTES = 16 * 1024

/**
 * Runs what was pulled before, to its end. What it prints last is in the log.
 * @throws ProcessError: another exit code than 0, the deadline, an abort; the container is removed then, since ending
 *   podman or docker does not end it
 */
export async function runContainer(image: RunnableImage, deps: ContainerDeps): Promise<void> {
  const { exec, log, runner, folder, signal, timeoutMs = RUN_TIMEOUT_MS } = deps
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const idFile = join(folder, `container-${randomUUID()}.id`)
  // what was pulled and no other, and nobody is asked who would have to be told who asks; the last --cidfile counts
  const options = ['--pull=never', ...image.runOptions, `--cidfile=${idFile}`]
  const argv = [runner, 'run', ...options, image.url, ...(image.command ?? [])] as const
  try {
    const { stdout, stderr } = await exec(argv, {
      timeoutMs,
      tailBytes: TAIL_BYTES,
      ...(signal ? { signal } : {}),
    })
    log.info({ image: image.url, stdout, stderr }, 'container has run')
  } catch (error) {
    await remove(idFile, deps)
    throw error
  } finally {
    await rm(idFile, { force: true })
  }
}

/** Never throws: the failure before counts. One that is gone already is no failure. */
async function remove(idFile: string, { exec, log, runner }: ContainerDeps): Promise<void> {
  const id = (await readFile(idFile, 'utf8').catch(() => '')).trim()
  // it came to no container
  if (id === '') return
  try {
    await exec([runner, 'rm', '--force', id], { timeoutMs: REMOVE_TIMEOUT_MS })
    log.info({ container: id }, 'container removed')
  } catch (error) {
    if (/no such container/i.test(messageOf(error))) return
    log.error({ container: id, reason: messageOf(error) }, 'container not removed: it may run on')
  }
}
