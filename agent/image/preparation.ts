// SPDX-License-Identifier: Apache-2.0
// Owns everything that can be known and refused before the disk is touched: servers, facts, plan, config
// drive. `ironswarm plan` ends here.
import { AgentError } from '../core/errors.ts'
import { readGeometry } from '../disk/geometry.ts'
import type { DeployImageDeps, DeployImageRequest } from './deploy-image.ts'
import { gatherImageFacts } from './image-facts.ts'
import { countBytes } from './image-size.ts'
import { type ImageServers, openImageServers } from './image-sources.ts'
import { describePlan, type ImageFacts, type Plan, planImage } from './plan.ts'

/** Disposal closes the connections to the servers. */
export interface PreparedImage extends AsyncDisposable {
  readonly servers: ImageServers
  readonly facts: ImageFacts
  readonly plan: Plan & { readonly sizeBytes: number }
}

/** Throws what planImage and gatherImageFacts throw. */
export async function prepareImage(
  request: Pick<DeployImageRequest, 'imageInfo' | 'devicePath' | 'configdrive' | 'signal'>,
  deps: DeployImageDeps,
): Promise<PreparedImage> {
  const { imageInfo, signal } = request
  const target = await readGeometry(request.devicePath)
  const servers = openImageServers(imageInfo, deps)
  try {
    const options = { config: deps.config, hasConfigdrive: request.configdrive !== null }
    let facts = await gatherImageFacts(imageInfo, servers.http, deps.config, signal)
    let plan = planImage(imageInfo, facts, target, options)
    if (plan.sizeBytes === null) {
      const serverBytes = await countBytes(servers.http, target.sizeBytes, signal)
      facts = { ...facts, serverBytes }
      plan = planImage(imageInfo, facts, target, options)
    }
    deps.log.info({ image_id: imageInfo.id, plan: describePlan(plan) }, 'image planned')
    const { sizeBytes } = plan
    if (sizeBytes === null) throw new AgentError('InvalidImage', 'the size of the image is unknown')
    return {
      servers,
      facts,
      plan: { ...plan, sizeBytes },
      [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
    }
  } catch (error) {
    await servers[Symbol.asyncDispose]()
    throw error
  }
}
