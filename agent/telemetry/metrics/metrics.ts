// SPDX-License-Identifier: Apache-2.0
// Owns the metrics of one agent: what the stream of events says, counted, and what the process is asked when
// somebody reads them. Does not serve them.
import { cpuUsage, memoryUsage } from 'node:process'
import { type AgentState, runningProgress } from '../../core/agent-state.ts'
import type { Progress, SyncingArray } from '../../core/events.ts'
import type { EventReader } from '../event-stream.ts'
import { countEvents } from './counted-events.ts'
import { formatMetrics, type Sample } from './exposition.ts'
import { watchLoopLag } from './loop-lag.ts'

export interface MetricsOptions {
  readonly events: Pick<EventReader, 'subscribe' | 'snapshot'>
  readonly version: string
  /** Unix seconds. */
  readonly startedAt: number
  /** The kernel's counters of these disks, `/dev/sda`; of those that it has. */
  readonly diskWrites: (names: readonly string[]) => Promise<readonly DiskWrites[]>
  /** Readers of the stream over HTTP. */
  readonly clients: () => number
}

export interface DiskWrites {
  /** `sda`. */
  readonly device: string
  readonly bytes: number
  readonly seconds: number
}

export interface Metrics extends Disposable {
  /** All of them as Prometheus reads them. Holds no secret: labels are names of things. */
  text(): Promise<string>
}

export function createMetrics(options: MetricsOptions): Metrics {
  const { events } = options
  const counted = countEvents(events)
  const lag = watchLoopLag()
  return {
    text: async () => {
      const state = events.snapshot()
      const disks = state.machine.disks?.map(({ name }) => name) ?? []
      const writes = await options.diskWrites(disks)
      return formatMetrics([
        ...counted.samples(),
        ...samplesOfState(state),
        ...writes.flatMap(samplesOfDisk),
        ...samplesOfProcess(options, lag.read()),
      ])
    },
    [Symbol.dispose]: () => {
      counted[Symbol.dispose]()
      lag[Symbol.dispose]()
    },
  }
}

function samplesOfState(state: AgentState): Sample[] {
  const { machine, phase, torrent, ironicAnsweredAt, syncing } = state
  const progress = runningProgress(state)
  return [
    ...(machine.nodeUuid === undefined
      ? []
      : [one('ipa_node_info', 1, { node_uuid: machine.nodeUuid })]),
    one('ipa_phase', 1, { phase }),
    ...(progress ? samplesOfProgress(progress) : []),
    ...syncing.flatMap(samplesOfArray),
    ...(ironicAnsweredAt === null
      ? []
      : [one('ipa_ironic_last_answer_timestamp_seconds', ironicAnsweredAt / 1000)]),
    ...(torrent === null ? [] : samplesOfTorrent(torrent)),
  ]
}

function samplesOfProgress({ step, unit, percent, done, total, etaSeconds }: Progress): Sample[] {
  return [
    one('ipa_image_progress_ratio', percent / 100, { step }),
    one('ipa_progress_done', done, { step, unit }),
    one('ipa_progress_target', total, { step, unit }),
    ...(etaSeconds === null ? [] : [one('ipa_progress_eta_seconds', etaSeconds, { step })]),
  ]
}

function samplesOfArray({ array, action, figures }: SyncingArray): Sample[] {
  const { percent, ratePerSecond, etaSeconds } = figures
  const labels = { device: array.replace(/^\/dev\//, ''), action }
  return [
    one('ipa_array_sync_ratio', percent / 100, labels),
    one('ipa_array_sync_bytes_per_second', ratePerSecond, labels),
    ...(etaSeconds === null ? [] : [one('ipa_array_sync_eta_seconds', etaSeconds, labels)]),
  ]
}

function samplesOfTorrent(torrent: NonNullable<AgentState['torrent']>): Sample[] {
  const { peers, asked, served, pieces, trackers } = torrent
  const states = ['answering', 'failing', 'not asked yet'] as const
  return [
    one('ipa_swarm_peers', peers, { state: 'connected' }),
    one('ipa_swarm_peers', asked, { state: 'asked' }),
    one('ipa_swarm_peers', served, { state: 'served' }),
    one('ipa_swarm_pieces', pieces.done, { state: 'verified' }),
    one('ipa_swarm_pieces', pieces.total - pieces.done, { state: 'missing' }),
    ...states.map((state) => {
      const count = trackers.filter((tracker) => tracker.state === state).length
      return one('ipa_swarm_trackers', count, { state })
    }),
  ]
}

function samplesOfDisk({ device, bytes, seconds }: DiskWrites): Sample[] {
  return [
    one('ipa_disk_write_seconds_total', seconds, { device }),
    one('ipa_disk_written_bytes_total', bytes, { device }),
  ]
}

function samplesOfProcess(
  { version, startedAt, clients }: MetricsOptions,
  lag: { readonly max: number; readonly mean: number },
): Sample[] {
  const { user, system } = cpuUsage()
  return [
    one('ipa_build_info', 1, { version }),
    one('ipa_event_clients', clients()),
    one('ipa_event_loop_lag_seconds', lag.max, { statistic: 'max' }),
    one('ipa_event_loop_lag_seconds', lag.mean, { statistic: 'mean' }),
    one('process_resident_memory_bytes', memoryUsage.rss()),
    one('process_cpu_seconds_total', (user + system) / 1e6),
    one('process_start_time_seconds', startedAt),
  ]
}

function one(name: Sample['name'], value: number, labels: Sample['labels'] = {}): Sample {
  return { name, value, labels }
}
