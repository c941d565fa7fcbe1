// SPDX-License-Identifier: Apache-2.0
// Owns the collector `logs`: the log bundle as base64 of a tar.gz, since Ironic keeps it of machines that
// nobody can ask later (contract 6.2). Does not gather logs; hardware managers do.
import type { JsonObject } from '../../core/json.ts'
import { MiB } from '../../core/units.ts'
import { packWithin } from '../log-bundle/pack.ts'
import type { CollectorCall } from './collector.ts'

/** What is not there by then is left out, ms. */
const COLLECT_MS = 35_000
/** Of base64; Ironic takes 16 MiB for all. */
const MAX_CHARS = 6 * MiB

/** A bundle that cannot be had is no failure. */
export async function collectLogs(call: CollectorCall): Promise<JsonObject> {
  const { hardware, log, now, ownLogs, signal } = call
  const patience = AbortSignal.any([signal, AbortSignal.timeout(COLLECT_MS)])
  try {
    const byManager = await hardware.dispatchAll('collectSystemLogs', patience)
    const members = [...ownLogs(), ...[...byManager.values()].flat()]
    return { logs: await packWithin(members, now() / 1000, MAX_CHARS) }
  } catch (err) {
    signal.throwIfAborted()
    log.warn({ err }, 'inspection: no logs')
    return {}
  }
}
