// SPDX-License-Identifier: Apache-2.0
// Owns qemu's reader as a program beside us: started for one file, read only, spoken to by NBD over a unix
// socket, ended whatever happens. Does not judge the file; judge-header.ts does before.
/// <reference lib="esnext.disposable" />
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sleep } from '../../../core/deadline.ts'
import { AgentError, isAgentError, messageOf } from '../../../core/errors.ts'
import { ENDS_WITH_PARENT, type Exec } from '../../../system/exec.ts'
import type { KeptAt } from '../unpacker.ts'
import { QEMU_DRIVERS, type QemuFormat } from './judge-header.ts'
import { connectNbd, type NbdClient } from './nbd-client.ts'

export interface QemuNbd extends AsyncDisposable {
  readonly client: NbdClient
}

export interface QemuNbdDeps {
  readonly exec: Exec
  readonly signal: AbortSignal
}

/** From the start of the program to its socket, ms. */
const START_MS = 30_000
const ASK_AGAIN_MS = 50
/** Longest time without a byte of an answer, ms: a compressed grain takes milliseconds, a slow disk seconds. */
const SILENCE_MS = 120_000
/** The program's own deadline; who asks it has shorter ones. */
const RUN_MS = 24 * 60 * 60_000
/** As ironic-python-agent limits qemu-img (contract 5.3.5): tables of a hostile file stay bounded. */
const ADDRESS_SPACE_BYTES = 2 ** 31

/**
 * Starts qemu-nbd on the file. Throws InvalidImage with qemu's words for a file it does not read, ProcessError where
 * the program is missing (package qemu-utils).
 */
export async function startQemuNbd(
  format: QemuFormat,
  kept: KeptAt,
  { exec, signal }: QemuNbdDeps,
): Promise<QemuNbd> {
  await using begun = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-nbd-'))
  begun.defer(() => rm(folder, { recursive: true, force: true }))
  const socket = join(folder, 'socket')
  const end = new AbortController()
  const argv: readonly [string, ...string[]] = [
    ...ENDS_WITH_PARENT,
    'prlimit',
    `--as=${ADDRESS_SPACE_BYTES}`,
    'qemu-nbd',
    '--read-only',
    `--socket=${socket}`,
    imageName(format, kept),
  ]
  const running = exec(argv, {
    timeoutMs: RUN_MS,
    signal: AbortSignal.any([signal, end.signal]),
    env: { MALLOC_ARENA_MAX: '3' },
  })
  let failure: unknown
  const ended = running.then(
    () => undefined,
    (error: unknown) => {
      failure = error
    },
  )
  begun.defer(async () => {
    end.abort()
    await ended
  })
  const client = await connect(socket, () => failure, signal).catch((error: unknown) => {
    throw isAgentError(error) ? error : unreadable(format, error)
  })
  begun.use(client)
  const owned = begun.move()
  return { client, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Resolves when the program answers; it ends by itself where it cannot read the file. */
async function connect(
  socket: string,
  failure: () => unknown,
  signal: AbortSignal,
): Promise<NbdClient> {
  for (let waitedMs = 0; ; waitedMs += ASK_AGAIN_MS) {
    try {
      return await connectNbd(socket, SILENCE_MS)
    } catch (error) {
      const end = failure()
      if (end !== undefined) throw isMissing(end) ? end : new Error(messageOf(end))
      if (waitedMs >= START_MS) throw error
    }
    await sleep(ASK_AGAIN_MS, signal)
  }
}

function isMissing(error: unknown): boolean {
  return messageOf(error).includes('command not found') || messageOf(error).includes('No such file')
}

/**
 * qemu's block options (qemu-block-drivers(7)); none of the values is anybody's but ours. Whatever an image says of a
 * backing file is not followed, and the size of a vhd is the one of its header.
 */
function imageName(format: QemuFormat, { path, isBlockDevice, range }: KeptAt): string {
  const driver = isBlockDevice ? 'host_device' : 'file'
  const file = { driver, filename: path, locking: 'off' }
  return `json:${JSON.stringify({
    driver: QEMU_DRIVERS[format],
    ...(format === 'vmdk' ? { backing: null } : {}),
    ...(format === 'vhd' ? { force_size_calc: 'current_size' } : {}),
    file: { driver: 'raw', offset: range.offset, size: range.length, file },
  })}`
}

function unreadable(format: QemuFormat, error: unknown): AgentError {
  return new AgentError(
    'InvalidImage',
    `qemu's reader does not take the ${format} image: ${messageOf(error)}`,
    { cause: error },
  )
}
