// SPDX-License-Identifier: Apache-2.0
// Owns a partition that is mounted in a namespace of its own, and seen from here by /proc: who is killed leaves no
// mount. Runs nothing of what is mounted.
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentError } from '../../core/errors.ts'
import { startFilter } from '../filter.ts'
import { waitUntilFree } from './exclusive-access.ts'

/** A mount with a journal to replay, an unmount with pages to write, ms. */
const SILENCE_MS = 120_000
/**
 * `$1`: the node, `$2`: the mount point. Says its process number, and ends when stdin does, so also when whoever started it
 * is killed. Nobody can start a program of the image, open its nodes, or get rights by them.
 */
const SCRIPT = `
set -eu
/bin/mount -o rw,nodev,nosuid,noexec "$1" "$2"
echo $$
read -r _ || :
/bin/umount "$2"
`

/**
 * Mounts the partition, hands it to `work`, unmounts whatever comes of that. Throws ProcessError for a partition that
 * cannot be mounted or unmounted, TargetInUseError for one that is in use, and what `work` throws.
 * @param node `/dev/vda1`
 */
export async function withMountedPartition<T>(
  node: string,
  signal: AbortSignal,
  work: (path: string) => Promise<T>,
): Promise<T> {
  await waitUntilFree(node)
  const mountPoint = await mkdtemp(join(tmpdir(), 'ironswarm-mounted-'))
  try {
    return await mounted(node, mountPoint, signal, work)
  } finally {
    try {
      await waitUntilFree(node)
    } finally {
      // what was mounted there was in a namespace that is gone: the folder is empty
      await rmdir(mountPoint)
    }
  }
}

async function mounted<T>(
  node: string,
  mountPoint: string,
  signal: AbortSignal,
  work: (path: string) => Promise<T>,
): Promise<T> {
  await using holder = startFilter(
    [
      ...(['unshare', '--mount', '--propagation=private', '--'] as const),
      ...(['/bin/sh', '-c', SCRIPT, 'partition', node, mountPoint] as const),
    ],
    { silenceMs: SILENCE_MS, signal },
  )
  const said = holder.output[Symbol.asyncIterator]()
  const { value, done } = await said.next()
  const failed = async (what: string) => {
    const { stderr } = await holder.ended
    return new AgentError(
      'ProcessError',
      `${node} cannot be ${what}: ${stderr || 'no reason given'}`,
    )
  }
  if (done) throw await failed('mounted')
  const pid = Number(Buffer.from(value).toString())
  const result = await work(`/proc/${pid}/root${mountPoint}`)
  holder.end()
  // its end is the end of its output
  while (!(await said.next()).done);
  if ((await holder.ended).exitCode !== 0) throw await failed('unmounted')
  return result
}
