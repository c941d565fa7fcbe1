// SPDX-License-Identifier: Apache-2.0
// Owns in-band inspection as a part of the start: whether it is asked for, collecting, posting, and that the
// agent goes on whatever comes of it (contract 1.5 step 7). Knows neither collectors nor the protocol.
import type { Config } from '../config/options.ts'
import { messageOf } from '../core/errors.ts'
import { redactText, redactUrl } from '../core/redact.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { collectInspection, collectorNames } from '../hardware/inspection/collect.ts'
import { inspectionUrls, postInspection } from '../ironic/inspection.ts'
import { exec } from '../system/exec.ts'
import type { Process } from '../system/process.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'
import { operation, warn } from '../telemetry/operation.ts'

export interface InspectionDeps {
  readonly config: Config
  /** Of Ironic's API, for an inspection that has no URL of its own. */
  readonly apiUrls: readonly string[]
  readonly hardware: Hardware
  readonly root: Root
  readonly log: Logger
  readonly recentLog: () => string
  readonly process: Pick<Process, 'events' | 'now' | 'signal'>
}

/** What the lookup may know of the inspection before it. */
export interface InspectionOutcome {
  /** Of the node that the data were found to be of. */
  readonly nodeUuid?: string
  /** Why the inspection failed. */
  readonly error?: string
}

/** Empty where no inspection is asked for. Throws the signal's reason only. */
export async function inspect(deps: InspectionDeps): Promise<InspectionOutcome> {
  const { config, log } = deps
  const { events, signal } = deps.process
  const urls = inspectionUrls(config, deps.apiUrls)
  if (urls.length === 0) return {}
  const asked = {
    collectors: collectorNames(config.inspection_collectors),
    urls: urls.map(redactUrl),
  }
  try {
    return await operation(events, 'inspect the machine', asked, async (note, inside) => {
      const { data, error } = await collectInspection(collectorDeps(deps), {
        signal,
        events: inside,
      })
      const nodeUuid = await postInspection({ urls, data, config, log, signal })
      const call = { call: 'inspection', result: 'answered', reason: null } as const
      inside.publish({ type: 'ironic', ...call, nextSeconds: null })
      note({ node_uuid: nodeUuid ?? null })
      if (error !== null) warn(inside, 'inspection incomplete', {}, new Error(error))
      return {
        ...(nodeUuid === undefined ? {} : { nodeUuid }),
        ...(error === null ? {} : { error }),
      }
    })
  } catch (error) {
    signal.throwIfAborted()
    // the operation has told it; the lookup repeats it, should it fail as well
    return { error: messageOf(error) }
  }
}

function collectorDeps({ config, hardware, root, log, recentLog, process }: InspectionDeps) {
  return {
    ...{ config, hardware, exec, root, log, now: process.now },
    ownLogs: () => [{ name: 'ironswarm/agent.log', content: redactText(recentLog()) }],
  }
}
