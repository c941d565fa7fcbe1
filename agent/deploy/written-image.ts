// SPDX-License-Identifier: Apache-2.0
// Owns what is known of the image on the disk, and its copy in the run directory, from which a restarted process
// goes on answering for it (contract 5.2: get_partition_uuids). Does not look at the disk.
import { isObject } from '../core/json.ts'
import { isWrittenPartitions } from '../disk/partitioning/written-partitions.ts'
import type { DeployedImage } from '../image/deploy-image.ts'
import { openRunState } from '../ironic/run-state.ts'
import type { Logger } from '../telemetry/logger.ts'

/** A finished write, whoever of this boot's processes made it. */
export type WrittenImage = Omit<DeployedImage, 'seeding'>

export interface WrittenImageRecord {
  current(): WrittenImage | undefined
  /** The image is on the disk. A run directory that cannot be written is logged: the deploy is good all the same. */
  set(image: WrittenImage): void
  /** The disk is about to change: neither this process nor a later one may answer for it. */
  forget(): void
}

const FILE = 'written-image.json'

/** Takes over what an earlier process of this boot left; a file that is none of ours counts as none. */
export function openWrittenImage(runDir: string, log: Pick<Logger, 'warn'>): WrittenImageRecord {
  const state = openRunState(runDir)
  let current = parse(state.read(FILE))
  return {
    current: () => current,
    set: (image) => {
      current = image
      try {
        state.write(FILE, JSON.stringify(image))
      } catch (err) {
        log.warn({ err }, 'the written image will be forgotten if the agent is restarted')
      }
    },
    forget: () => {
      current = undefined
      state.remove(FILE)
    },
  }
}

function parse(text: string | undefined): WrittenImage | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return isWrittenImage(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isWrittenImage(value: unknown): value is WrittenImage {
  return (
    isObject(value) &&
    typeof value['device'] === 'string' &&
    typeof value['imageId'] === 'string' &&
    (value['rootUuid'] === null || typeof value['rootUuid'] === 'string') &&
    (value['partitions'] === null || isWrittenPartitions(value['partitions'])) &&
    isObject(value['hash']) &&
    typeof value['seconds'] === 'number' &&
    isObject(value['bytes'])
  )
}
