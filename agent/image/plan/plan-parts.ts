// SPDX-License-Identifier: Apache-2.0
// Owns the shapes of a plan's parts: where the image comes from, and where it goes. Does not decide.
import type { DiskRange } from '../../core/extent.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import type { DiskLayout } from '../../disk/partitioning/disk-layout.ts'
import type { Metainfo } from '../../sources/swarm/torrent/metainfo.ts'
import type { TrackerList } from '../../sources/swarm/torrent/trackers.ts'

/** One source with what it needs to know of the image. */
export type PlannedSource =
  | {
      readonly name: 'swarm'
      readonly metainfo: Metainfo
      /** Those of image_info; the metainfo has its own, and so has the configuration. */
      readonly trackers: TrackerList
      /** The origin; what peers do not have is fetched there. */
      readonly urls: readonly string[]
    }
  | { readonly name: 'http'; readonly urls: readonly string[] }
  | { readonly name: 'file'; readonly url: string }

/** Where the image goes: a window of a disk. */
export interface PlannedTarget {
  readonly disk: DeviceGeometry
  readonly window: DiskRange
  /** Into what the disk is divided, for a partition image: the window is the root partition. Null: the image brings it. */
  readonly layout: DiskLayout | null
}
