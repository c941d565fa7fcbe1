// SPDX-License-Identifier: Apache-2.0
// Owns the iSCSI targets that the firmware has started from and left in its boot table (iBFT): the kernel sees their LUNs
// only once somebody logs in (contract 7.7). Does not look at the disks that come of it.
import { messageOf } from '../core/errors.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import { settle } from '../system/udev.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface IbftDeps {
  readonly root: Root
  readonly exec: Exec
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly signal?: AbortSignal
}

/** Made by the driver iscsi_ibft, where the firmware has left a table (Documentation/ABI/testing/sysfs-ibft). */
const TABLE = '/sys/firmware/ibft'
/** Reads the table. */
const SHOW_TIMEOUT_MS = 30_000
/** Logs in to each target; iscsistart itself tries for long where one does not answer. */
const LOGIN_TIMEOUT_MS = 120_000

/**
 * Logs in to the targets of the table; true where that was done. Without a table nothing is run. A failure is a warning:
 * the machine may have other disks, and the step that needs this one says that it is not there.
 */
export async function attachIbft({ root, exec, log, signal }: IbftDeps): Promise<boolean> {
  const targets = (await root.list(TABLE)).filter((name) => /^target\d+$/.test(name))
  if (targets.length === 0) return false
  const options = signal ? { signal } : {}
  try {
    // what it prints may hold a CHAP secret: it is asked whether it understands the table, and no more
    await exec(['iscsistart', '-f'], { ...options, timeoutMs: SHOW_TIMEOUT_MS })
    await exec(['iscsistart', '-b'], { ...options, timeoutMs: LOGIN_TIMEOUT_MS })
  } catch (error) {
    const reason = messageOf(error)
    log.warn({ targets, reason }, "no login to the targets of the firmware's iSCSI table")
    return false
  }
  await settle(exec)
  const names = await Promise.all(
    targets.map((target) => root.readText(`${TABLE}/${target}/target-name`)),
  )
  log.info({ targets: names }, "logged in to the targets of the firmware's iSCSI table")
  return true
}
