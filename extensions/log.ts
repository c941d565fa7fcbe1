// SPDX-License-Identifier: Apache-2.0
// Owns the `log` extension: the bundle the conductor keeps of a failed deployment (contract 5.8). Does
// not gather the machine's logs (hardware managers do); adds the agent's own.
import { command, type Extension } from '../agent/commands/command.ts'
import { redact, redactText } from '../agent/core/redact.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { packBundle } from '../agent/hardware/log-bundle/pack.ts'
import type { LogMember } from '../agent/hardware/manager.ts'
import { answerInTime, noParams } from './params.ts'

/** What is not there by then is left out of the bundle, which must be packed and sent within 60 s, ms. */
const COLLECT_DEADLINE_MS = 35_000

/** log.collect_system_logs: `{system_logs: <base64 of a tar.gz>}`. */
export function createLogExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'log',
    commands: {
      collect_system_logs: command({
        kind: 'sync',
        parse: noParams('log.collect_system_logs'),
        run: (_params, context) =>
          answerInTime('log.collect_system_logs', context.signal, async (signal) => {
            const patience = AbortSignal.any([signal, AbortSignal.timeout(COLLECT_DEADLINE_MS)])
            const members = [...ownMembers(deps), ...(await machineMembers(deps, patience))]
            return { system_logs: await packBundle(members, deps.now() / 1000) }
          }),
      }),
    },
  }
}

async function machineMembers(deps: ExtensionDeps, signal: AbortSignal): Promise<LogMember[]> {
  try {
    const byManager = await deps.hardware.dispatchAll('collectSystemLogs', signal)
    return [...byManager.values()].flat()
  } catch (err) {
    deps.log.warn({ err }, 'system logs incomplete')
    return []
  }
}

/** The agent's own log and the state of its work. */
function ownMembers(deps: ExtensionDeps): LogMember[] {
  const written = deps.deploy.images.lastWritten()
  const state = {
    progress: deps.events.snapshot().progress,
    written: written ? { ...written, seeding: deps.deploy.seeding.isSeeding() } : null,
    hardware_manager_version: deps.hardware.versions(),
    left_out_hardware_managers: deps.hardware.leftOut,
  }
  return [
    { name: 'ironswarm/agent.log', content: redactText(deps.recentLog()) },
    { name: 'ironswarm/state.json', content: `${JSON.stringify(redact(state), null, 1)}\n` },
  ]
}
