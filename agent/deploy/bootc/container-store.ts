// SPDX-License-Identifier: Apache-2.0
// Owns where podman keeps the container of one installation: memory of its own, bounded, which ends with it. Nothing of the
// container stays on the machine, whatever happened. Does not pull or run.
import { messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import { listMounts } from '../../system/mounts.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'

/** Bootc looks for its own layers there, on the machine it runs on. */
export const STORE = '/var/lib/containers'
/** Source of the mount, by which one that an ended process has left is known. */
const NAME = 'ironswarm-bootc'
/** Of the machine's memory: a container is there packed and unpacked (contract 5.10). */
const SIZE = '80%'
const MOUNT_TIMEOUT_MS = 30_000
/** Podman gives a container 10 s to end by itself. */
const REMOVE_TIMEOUT_MS = 60_000

export interface StoreDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
}

/**
 * Mounts it over what podman has kept so far, which is there again afterwards. One that an earlier process left is taken
 * away first, with what runs in it.
 * @throws AgentError ProcessError
 */
export async function openContainerStore(deps: StoreDeps): Promise<AsyncDisposable> {
  const { exec, root } = deps
  const mounts = await listMounts(root)
  if (mounts.some(({ source, mountPoint }) => source === NAME && mountPoint === STORE))
    await close(deps)
  await exec(['mkdir', '-p', STORE])
  await exec(['mount', '-t', 'tmpfs', '-o', `mode=700,size=${SIZE}`, NAME, STORE], {
    timeoutMs: MOUNT_TIMEOUT_MS,
  })
  return { [Symbol.asyncDispose]: () => close(deps) }
}

/** Never throws: what led here counts. A container that hangs in the kernel keeps its memory until it ends. */
async function close({ exec, log }: StoreDeps): Promise<void> {
  await exec(['podman', 'rm', '--all', '--force'], { timeoutMs: REMOVE_TIMEOUT_MS }).catch(
    (error: unknown) => log.warn({ reason: messageOf(error) }, 'containers not removed'),
  )
  // podman itself keeps its layers mounted below it
  const umount = (how: string) => exec(['umount', how, STORE], { timeoutMs: MOUNT_TIMEOUT_MS })
  await umount('--recursive')
    .catch(() => umount('--lazy'))
    .catch((error: unknown) => log.error({ reason: messageOf(error) }, 'container store stays'))
}
