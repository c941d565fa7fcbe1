// SPDX-License-Identifier: Apache-2.0
// Owns one image write from the request to its end: planned, then followed, told of as one operation. What
// plans and what writes is image/'s.
/// <reference lib="esnext.disposable" />
import { anySignal, throwIfAborted } from '../core/deadline.ts'
import { isAgentError, toAgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import { assertNotInUse } from '../disk/in-use.ts'
import { type DeployedImage, deployImage } from '../image/deploy-image.ts'
import { type OpenPlan, openPlan } from '../image/plan/open-plan.ts'
import type { Plan } from '../image/plan/plan.ts'
import { stagesOf } from '../image/plan/stages.ts'
import type { DeployImageDeps, ImageRequest } from '../image/request/deploy-request.ts'
import type { DiskListener } from '../image/target/target-disk.ts'
import { operation } from '../telemetry/operation.ts'
import { createProgressMeter } from '../telemetry/progress-meter.ts'

export interface WriteImageRequest extends ImageRequest {
  readonly signal: AbortSignal
  /** Hears of the write: the operation, its stages and progress, sources that give up. */
  readonly events: EventPublisher
  /** Hears what will be done, before anything is. */
  readonly onPlan?: (plan: Plan) => void
  /** Hears what becomes of the disk. */
  readonly onDisk?: DiskListener
}

/**
 * Plans the image and writes it. Throws an AgentError: what planImage, the sources and the disk throw. What was
 * refused while planning has touched nothing, so that an old system on the disk still boots; after any later
 * failure the disk has no partition table.
 */
export async function writeImage(
  { imageInfo, configdrive, devicePath, signal, events, onPlan, onDisk }: WriteImageRequest,
  deps: DeployImageDeps,
): Promise<DeployedImage> {
  const fields = { node_uuid: imageInfo.nodeUuid, image_id: imageInfo.id, device: devicePath }
  return await operation(events, 'write image', fields, async (note, inside) => {
    try {
      using progress = createProgressMeter({ now: deps.now, events: inside })
      progress.begin('prepare', 0)
      await using opened = await openUnused({ imageInfo, configdrive, devicePath }, signal, deps)
      onPlan?.(opened.plan)
      inside.publish({ type: 'plan', stages: stagesOf(opened.plan) })
      const request = { opened, progress, events: inside, signal, ...(onDisk ? { onDisk } : {}) }
      const deployed = await deployImage(request, deps)
      note({ hash: deployed.hash, bytes: deployed.bytes })
      return deployed
    } catch (error) {
      // an abort surfaces as whatever the interrupted call makes of it
      if (!isAgentError(error)) throwIfAborted(signal)
      throw toAgentError(error)
    }
  })
}

/** Servers are asked while this machine is: neither touches the disk. That it is in use is told first. */
async function openUnused(
  request: ImageRequest,
  signal: AbortSignal,
  deps: DeployImageDeps,
): Promise<OpenPlan> {
  const ending = new AbortController()
  const opening = openPlan(request, anySignal(signal, ending.signal), deps)
  // met below, or nobody asks any more
  opening.catch(() => undefined)
  try {
    await assertNotInUse(deps.root, request.devicePath)
    return await opening
  } catch (error) {
    ending.abort(error)
    await opening.then(
      (late) => late[Symbol.asyncDispose](),
      () => undefined,
    )
    throw error
  }
}
