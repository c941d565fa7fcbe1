// SPDX-License-Identifier: Apache-2.0
// Owns the file systems that are mounted, as df shows them: the only import of node-disk-info. Says how
// much may be staged where, and is the second opinion on whether a target is mounted. The library asks
// `df -P` by a shell: a constant line, no word of which comes from us or from a request.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { getDiskInfoSync } from 'node-disk-info'
import { withDeadline } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import { formatBytes, KiB } from '../core/units.ts'

/** A mounted file system. */
export interface FileSystem {
  /** Device node, or what else df calls its source. */
  readonly source: string
  readonly mountPoint: string
  readonly totalBytes: number
  readonly freeBytes: number
}

const WORKER_TASK = 'ironswarm: df'
const DEADLINE_MS = 10_000

/**
 * The mounted file systems. node-disk-info waits for df synchronously, so a hung NFS server would stop
 * the heartbeats: it runs in a thread of its own. Throws CommandExecutionError after 10 s.
 */
export async function listFileSystems(): Promise<FileSystem[]> {
  const worker = new Worker(new URL(import.meta.url), { workerData: WORKER_TASK })
  const answer = new Promise<FileSystem[]>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the thread that asks df ended without an answer')))
  })
  try {
    return await withDeadline(
      answer,
      DEADLINE_MS,
      () =>
        new AgentError(
          'CommandExecutionError',
          `df has not answered for ${DEADLINE_MS / 1000} s; is a network file system mounted?`,
        ),
    )
  } finally {
    worker.unref()
    worker.terminate().catch(() => undefined)
  }
}

/** Throws CommandExecutionError unless `bytes` can be staged in `directory`. */
export async function assertScratchSpace(directory: string, bytes: number): Promise<void> {
  const fileSystem = fileSystemOf(directory, await listFileSystems())
  if (fileSystem === undefined || fileSystem.freeBytes >= bytes) return
  throw new AgentError(
    'CommandExecutionError',
    `${directory} has ${formatBytes(fileSystem.freeBytes)} free (${fileSystem.mountPoint}), ` +
      `${formatBytes(bytes)} are needed; give the ramdisk more memory`,
  )
}

/** The file system a path lies on: the longest mount point in front of it. */
export function fileSystemOf(
  path: string,
  fileSystems: readonly FileSystem[],
): FileSystem | undefined {
  const isAbove = ({ mountPoint }: FileSystem) =>
    path === mountPoint || path.startsWith(mountPoint.endsWith('/') ? mountPoint : `${mountPoint}/`)
  return fileSystems
    .filter(isAbove)
    .sort((a, b) => b.mountPoint.length - a.mountPoint.length)
    .at(0)
}

/** df -P counts in blocks of 1 KiB (df(1)). */
function askDf(): FileSystem[] {
  return getDiskInfoSync().map((drive) => ({
    source: drive.filesystem,
    mountPoint: drive.mounted,
    totalBytes: drive.blocks * KiB,
    freeBytes: drive.available * KiB,
  }))
}

if (!isMainThread && workerData === WORKER_TASK) parentPort?.postMessage(askDf())
