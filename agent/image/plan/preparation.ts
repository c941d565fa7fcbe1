// SPDX-License-Identifier: Apache-2.0
// Owns everything that can be known and refused before the disk is touched: servers, facts, plan, config
// drive. `ironswarm plan` ends here.
import { AgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { MiB } from '../../core/units.ts'
import { decodeConfigDrive } from '../../disk/configdrive/configdrive.ts'
import { readGeometry } from '../../disk/geometry.ts'
import { createHttpClient } from '../../http/client.ts'
import type { DeployImageRequest, PrepareImageDeps } from '../deploy-image.ts'
import { gatherImageFacts } from './image-facts.ts'
import { countBytes } from './image-size.ts'
import { type ImageServers, openImageServers } from './image-sources.ts'
import { describePlan, type ImageFacts, type Plan, planImage } from './plan.ts'

/** Disposal closes the connections to the servers. */
export interface PreparedImage extends AsyncDisposable {
  readonly servers: ImageServers
  readonly facts: ImageFacts
  readonly plan: Plan & { readonly sizeBytes: number }
  /** The file system image of the config drive; null for none. At most 64 MiB. */
  readonly configdrive: Uint8Array | null
}

/** Contract 5.3.8: one attempt, without the image's proxies and credentials. */
const CONFIG_DRIVE_TIMEOUT_MS = 60_000
/** base64 of a gzip of 64 MiB. */
const MAX_CONFIG_DRIVE_TEXT_BYTES = 96 * MiB

/** Throws what planImage and gatherImageFacts throw. */
export async function prepareImage(
  request: Pick<DeployImageRequest, 'imageInfo' | 'devicePath' | 'configdrive' | 'signal'>,
  deps: PrepareImageDeps,
): Promise<PreparedImage> {
  const { imageInfo, signal } = request
  const target = await readGeometry(request.devicePath)
  const servers = openImageServers(imageInfo, deps)
  try {
    const options = { config: deps.config, hasConfigdrive: Boolean(request.configdrive) }
    let facts = await gatherImageFacts(imageInfo, servers.http, deps.config, signal)
    let plan = planImage(imageInfo, facts, target, options)
    if (plan.sizeBytes === null) {
      const serverBytes = await countBytes(servers.http, target.sizeBytes, signal)
      facts = { ...facts, serverBytes }
      plan = planImage(imageInfo, facts, target, options)
    }
    deps.log.info({ image_id: imageInfo.id, plan: describePlan(plan) }, 'image planned')
    const configdrive = request.configdrive
      ? await decodeConfigDrive(request.configdrive, (url) => fetchConfigDrive(url, deps, signal))
      : null
    const { sizeBytes } = plan
    if (sizeBytes === null) throw new AgentError('InvalidImage', 'the size of the image is unknown')
    return {
      servers,
      facts,
      plan: { ...plan, sizeBytes },
      configdrive,
      [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
    }
  } catch (error) {
    await servers[Symbol.asyncDispose]()
    throw error
  }
}

async function fetchConfigDrive(
  url: string,
  { config }: PrepareImageDeps,
  signal: AbortSignal,
): Promise<Uint8Array> {
  await using client = createHttpClient({ config })
  const response = await client.request(url, {
    signal,
    timeoutMs: CONFIG_DRIVE_TIMEOUT_MS,
    maxBytes: MAX_CONFIG_DRIVE_TEXT_BYTES,
  })
  if (response.status === 200) return response.bytes
  throw new AgentError('DeploymentError', `${redactUrl(url)}: status ${response.status}`)
}
