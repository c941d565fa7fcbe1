// SPDX-License-Identifier: Apache-2.0
// Owns the way of a container that came packed in a file, and lies on the disk now, to the image that it holds. The hash
// of the file is proved, and the container was read back. Does not fetch, nor make the disk bootable.
import { AgentError } from '../core/errors.ts'
import { judgePacked } from './formats/judge-file.ts'
import { createRawLayout } from './formats/raw.ts'
import type { UnpackedFormat } from './formats/unpackers.ts'
import type { Plan } from './plan/plan.ts'
import type { PlacedContainer } from './plan/unpacking.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import { createImageOnDisk } from './transfer/image-on-disk.ts'
import { unpackKept } from './unpack-kept.ts'
import type { UnpackTargetRequest } from './unpack-target.ts'

export interface UnpackContainerRequest extends UnpackTargetRequest {
  readonly container: PlacedContainer
  /** Its length. */
  readonly containerBytes: number
  readonly plan: Pick<Plan, 'namedFormat'>
}

/** Resolves to the bytes of the image once all of them are on the disk or held back, and read back. Throws what unpackKept throws. */
export async function unpackContainer(
  request: UnpackContainerRequest,
  deps: DeployImageDeps,
): Promise<number> {
  const { container, containerBytes, device, plan } = request
  const { format, window } = container
  const layout = createRawLayout(containerBytes, window)
  const file = createImageOnDisk({ sizeBytes: containerBytes, layout, holdBack: [] })
  file.coverage.add({ offset: 0, length: containerBytes })
  file.useDevice(device)
  const { namedFormat } = plan
  const { read } = file
  const kept = { offset: window.offset, length: containerBytes }
  return await unpackKept(
    { ...request, format, namedFormat, kept, fileBytes: containerBytes, read },
    deps,
  )
}

/**
 * What comes out of the packed file must be what the disk was laid out for. Throws InvalidImage.
 * @param firstBytes of what was unpacked
 */
export function requirePlannedContainer(
  firstBytes: Uint8Array,
  packing: UnpackedFormat,
  { format, virtualBytes }: PlacedContainer,
  { namedFormat, content }: Pick<Plan, 'namedFormat' | 'content'>,
  permitted: readonly string[],
): void {
  const found = judgePacked(firstBytes, packing, namedFormat, permitted, content)
  if (found?.format === format && found.virtualBytes === virtualBytes) return
  const shown = found ? `a ${found.format} of a disk of ${found.virtualBytes} bytes` : 'a raw disk'
  throw new AgentError(
    'InvalidImage',
    `what is packed in the ${packing} file is ${shown}, although its server's answers to the first questions showed ` +
      `a ${format} of ${virtualBytes}: it serves two files`,
  )
}
