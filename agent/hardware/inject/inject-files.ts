// SPDX-License-Identifier: Apache-2.0
// Owns the step inject_files (contract 7.2): files into file systems of the deployed disk. What lies there is a
// stranger's: none of its programs runs, none of its links leads out of it (system/image-root/).
import type { FileHandle } from 'node:fs/promises'
import type { Config } from '../../config/options.ts'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { AgentError, isAgentError, messageOf } from '../../core/errors.ts'
import { isTruthyWord, type JsonObject } from '../../core/json.ts'
import { MiB } from '../../core/units.ts'
import { type BootPartition, listBootPartitions } from '../../disk/grub/boot-partitions.ts'
import { findKernelNodes, type KernelNodes } from '../../disk/grub/kernel-nodes.ts'
import { isCalled } from '../../disk/root-uuid.ts'
import { createHttpClient } from '../../http/client.ts'
import type { Exec } from '../../system/exec.ts'
import { withMountedPartition } from '../../system/image-root/mounted-partition.ts'
import {
  createInImage,
  isFolderInImage,
  removeInImage,
} from '../../system/image-root/path-in-image.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { StepCall, StepImplementation } from '../manager.ts'
import { type InjectedFile, parseInjectedFiles } from './injected-file.ts'

export interface InjectDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** The root disk: `/dev/sda`. */
  readonly findDisk: (node: JsonObject) => Promise<string>
}

/** One file that is fetched, and one that is written, ms. */
const FETCH_TIMEOUT_MS = 60_000
const WRITE_TIMEOUT_MS = 300_000
/** Of one file that is fetched: it is in memory on its way. */
const MOST_FETCHED_BYTES = 32 * MiB

/** As ironic-python-agent announces it; the conductor shows the words to operators. */
const ARGUMENTS = {
  files: {
    description:
      'Files to inject: a list of objects with path, partition (number or name), content (base64 or url), deleted, ' +
      'mode, dirmode, owner and group. Those of the node property inject_files come before them.',
    required: false,
  },
  verify_ca: {
    description:
      'Whether certificates of servers are verified; as the agent is configured by default.',
    required: false,
  },
} as const

/** The step inject_files, off unless a deploy template or the option inject_files_priority asks for it. */
export function createInjectStep(deps: InjectDeps): StepImplementation {
  return {
    kinds: ['deploy', 'service'],
    announce: {
      step: 'inject_files',
      priority: deps.config.inject_files_priority,
      interface: 'deploy',
      reboot_requested: false,
      argsinfo: ARGUMENTS,
    },
    accepts: Object.keys(ARGUMENTS),
    run: async (call) => {
      await injectFiles(deps, call)
      return null
    },
  }
}

/** Throws InvalidCommandParamsError, DeviceNotFound, CommandExecutionError, ProcessError. */
async function injectFiles(deps: InjectDeps, call: StepCall): Promise<void> {
  const { node, ports, args, context } = call
  const files = parseInjectedFiles(node, ports, args['files'])
  if (files.length === 0) return deps.log.info({}, 'no files to inject')
  await context.stopSeeding()
  const disk = await findPartitions(deps, await deps.findDisk(node))
  const verifies = args['verify_ca'] === undefined || isTruthyWord(String(args['verify_ca']))
  const config = { ...deps.config, insecure: deps.config.insecure || !verifies }
  await using http = createHttpClient({ config })
  for (const file of files) {
    const bytes = await contentOf(file, context.signal, (url) =>
      http.request(url, {
        signal: context.signal,
        timeoutMs: FETCH_TIMEOUT_MS,
        maxBytes: MOST_FETCHED_BYTES,
      }),
    )
    await injectOne(deps, disk, { file, bytes }, context.signal)
  }
}

interface DividedDisk {
  readonly path: string
  readonly partitions: readonly BootPartition[]
  readonly nodes: KernelNodes
}

async function findPartitions(deps: InjectDeps, path: string): Promise<DividedDisk> {
  const partitions = await listBootPartitions(path, deps)
  return { path, partitions, nodes: await findKernelNodes(path, partitions, deps) }
}

type Fetch = (url: string) => Promise<{ readonly status: number; readonly bytes: Uint8Array }>

async function contentOf(
  { content, path }: InjectedFile,
  signal: AbortSignal,
  fetch: Fetch,
): Promise<Uint8Array | null> {
  if (content === null || 'bytes' in content) return content?.bytes ?? null
  const { status, bytes } = await fetch(content.url).catch((error: unknown) => {
    throwIfAborted(signal)
    throw failed(path, error)
  })
  if (status === 200) return bytes
  throw failed(path, new Error(`its server answered ${status}`))
}

interface BroughtFile {
  readonly file: InjectedFile
  /** null: it is to be removed. */
  readonly bytes: Uint8Array | null
}

async function injectOne(
  deps: InjectDeps,
  disk: DividedDisk,
  { file, bytes }: BroughtFile,
  signal: AbortSignal,
): Promise<void> {
  for (const partition of await candidates(deps, disk, file)) {
    const node = `/dev/${disk.nodes.nameOf(partition)}`
    const folder = file.path.split('/').find((part) => part !== '') as string
    const isDone = await withMountedPartition(node, signal, async (top) => {
      if (file.partition === null && !(await isFolderInImage(top, folder))) return false
      await withDeadline(put(top, file, bytes), WRITE_TIMEOUT_MS, tooSlow).catch((error) => {
        throwIfAborted(signal)
        throw failed(file.path, error)
      })
      return true
    }).catch((error: unknown) => {
      // a swap partition, a file system that this kernel does not know: the file may be for another
      if (file.partition !== null || !isAgentError(error, 'ProcessError')) throw error
      deps.log.warn({ partition: node, err: error }, 'partition not looked into')
      return false
    })
    if (!isDone) continue
    const what = bytes === null ? 'file removed' : 'file injected'
    return deps.log.info({ path: file.path, partition: node, bytes: bytes?.length ?? 0 }, what)
  }
  throw new AgentError(
    'DeviceNotFound',
    `inject_files: none of the ${disk.partitions.length} partitions of ${disk.path} has the folder that ` +
      `${file.path} begins with; name one as partition`,
  )
}

/** Throws DeviceNotFound for a name of no partition of this disk: others are nobody's to write to. */
async function candidates(
  { root }: InjectDeps,
  { path, partitions, nodes }: DividedDisk,
  { partition: wanted }: InjectedFile,
): Promise<readonly BootPartition[]> {
  if (wanted === null) return partitions
  const real = typeof wanted === 'string' ? await root.resolve(wanted) : undefined
  const found = partitions.filter(
    (partition) =>
      partition.number === wanted ||
      (typeof wanted === 'string' &&
        (isCalled(partition, wanted) || real?.endsWith(`/dev/${nodes.nameOf(partition)}`))),
  )
  if (found.length > 0) return found.slice(0, 1)
  throw new AgentError(
    'DeviceNotFound',
    `inject_files: ${path} has no partition ${wanted}, and files go to no other disk`,
  )
}

async function put(top: string, file: InjectedFile, bytes: Uint8Array | null): Promise<void> {
  if (bytes === null) return await removeInImage(top, file.path)
  await using handle = await createInImage(top, file.path, { mode: file.dirMode })
  await handle.writeFile(bytes)
  await own(handle, file)
  if (file.mode !== undefined) await handle.chmod(file.mode)
  await handle.sync()
}

/** Before the mode: a new owner takes setuid away (chown(2)). */
async function own(handle: FileHandle, { owner, group }: InjectedFile): Promise<void> {
  if (owner === undefined && group === undefined) return
  const { uid, gid } = await handle.stat()
  await handle.chown(owner ?? uid, group ?? gid)
}

function tooSlow(): Error {
  return new Error(`not written within ${WRITE_TIMEOUT_MS / 1000} s: the disk hangs`)
}

function failed(path: string, error: unknown): AgentError {
  if (isAgentError(error)) return error
  return new AgentError('CommandExecutionError', `inject_files: ${path}: ${messageOf(error)}`, {
    cause: error,
  })
}
