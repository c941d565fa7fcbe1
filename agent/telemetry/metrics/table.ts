// SPDX-License-Identifier: Apache-2.0
// Owns the one table of metrics: name, type, labels and meaning. Does not count (metrics.ts) and does not write
// them down (exposition.ts).

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** Each label with the values it may have. */
  readonly labels: Readonly<Record<string, string>>
}

const SOURCE = { source: '`origin`, `peers`, `file`' }
const STEP_UNIT = { step: '`fetch`, `burn-in`, …', unit: '`bytes`, `seconds`, `items`' }
const ARRAY = { device: '`md0`, …', action: '`resync`, `recover`, …' }
const RESULT = { result: '`answered`, `failed`' }

/** docs/metrics.md is made of it. Names begin with `ipa_`, but for those that every exporter of a process has. */
export const METRICS = {
  ipa_build_info: {
    type: 'gauge',
    help: 'The version of the agent; always 1.',
    labels: { version: 'of ironswarm' },
  },
  ipa_node_info: {
    type: 'gauge',
    help: 'Which node this machine is; always 1. Not there before Ironic has said so.',
    labels: { node_uuid: 'of Ironic' },
  },
  ipa_phase: {
    type: 'gauge',
    help: 'Where the agent is in its life: 1 for this phase.',
    labels: { phase: '`starting`, `serving`, `rescued`, …' },
  },
  ipa_image_bytes_written_total: {
    type: 'counter',
    help: 'Bytes of images that came in and were written, by where they came from.',
    labels: SOURCE,
  },
  ipa_image_progress_ratio: {
    type: 'gauge',
    help: 'How much of the step that runs is done, 0 to 1. Not there while nothing runs.',
    labels: { step: '`fetch`, `read-back`, `erase`, …' },
  },
  ipa_progress_done: {
    type: 'gauge',
    help: 'How much of the step that runs is done, in its unit. Not there while nothing runs.',
    labels: STEP_UNIT,
  },
  ipa_progress_target: {
    type: 'gauge',
    help: 'How much that step is in all; 0 where nobody knows.',
    labels: STEP_UNIT,
  },
  ipa_progress_eta_seconds: {
    type: 'gauge',
    help: 'Time left in that step. Not there where nobody knows.',
    labels: { step: STEP_UNIT.step },
  },
  ipa_array_sync_ratio: {
    type: 'gauge',
    help: 'How far an array is that md brings in sync, 0 to 1. Not there for arrays at rest.',
    labels: ARRAY,
  },
  ipa_array_sync_bytes_per_second: {
    type: 'gauge',
    help: 'How fast that goes, as the kernel measures it.',
    labels: ARRAY,
  },
  ipa_array_sync_eta_seconds: {
    type: 'gauge',
    help: 'Time left until that array is in sync. Not there where nobody knows.',
    labels: ARRAY,
  },
  ipa_stage_seconds_total: {
    type: 'counter',
    help: 'Time spent in each step of image writes, erasures, burn-in and inspections.',
    labels: { stage: '`fetch`, `read-back`, `erase`, …' },
  },
  ipa_swarm_peers: {
    type: 'gauge',
    help: 'Peers that are connected, that blocks are asked of, and that may ask for some.',
    labels: { state: '`connected`, `asked`, `served`' },
  },
  ipa_swarm_pieces: {
    type: 'gauge',
    help: 'Pieces of the torrent that is fetched or seeded.',
    labels: { state: '`verified`, `missing`' },
  },
  ipa_swarm_trackers: {
    type: 'gauge',
    help: 'Trackers of that torrent, by what came of the last announce.',
    labels: { state: '`answering`, `failing`, `not asked yet`' },
  },
  ipa_swarm_download_bytes_total: {
    type: 'counter',
    help: 'Verified bytes of pieces received from peers.',
    labels: {},
  },
  ipa_swarm_upload_bytes_total: {
    type: 'counter',
    help: 'Bytes sent to peers.',
    labels: {},
  },
  ipa_pieces_failed_total: {
    type: 'counter',
    help: 'Pieces with a wrong hash, by who sent them.',
    labels: { peer_kind: '`origin`, `peers`' },
  },
  ipa_heartbeat_total: {
    type: 'counter',
    help: 'Heartbeats, by what came of them.',
    labels: RESULT,
  },
  ipa_lookup_total: {
    type: 'counter',
    help: 'Lookups of the node, by what came of them.',
    labels: RESULT,
  },
  ipa_ironic_last_answer_timestamp_seconds: {
    type: 'gauge',
    help: 'When Ironic answered last, by the clock of this machine. Not there before it has.',
    labels: {},
  },
  ipa_command_duration_seconds: {
    type: 'histogram',
    help: 'How long commands of Ironic took, those that failed as well.',
    labels: { command: 'its name', status: '`SUCCEEDED`, `FAILED`, `CLEAN_VERSION_MISMATCH`' },
  },
  ipa_warnings_total: {
    type: 'counter',
    help: 'Warnings of the work; the log has their words.',
    labels: {},
  },
  ipa_disk_write_seconds_total: {
    type: 'counter',
    help: 'Time the kernel has spent on writes to each disk since it was started; writes in parallel count each.',
    labels: { device: '`sda`, `nvme0n1`, …' },
  },
  ipa_disk_written_bytes_total: {
    type: 'counter',
    help: 'Bytes the kernel has written to each disk since it was started.',
    labels: { device: '`sda`, `nvme0n1`, …' },
  },
  ipa_event_clients: {
    type: 'gauge',
    help: 'Readers of /v1/events.',
    labels: {},
  },
  ipa_event_loop_lag_seconds: {
    type: 'gauge',
    help: 'How late timers of the agent were over the last minute, at most and on average.',
    labels: { statistic: '`max`, `mean`' },
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    help: 'Memory of the agent that lies in RAM.',
    labels: {},
  },
  process_cpu_seconds_total: {
    type: 'counter',
    help: 'Processor time of the agent, of its threads as well.',
    labels: {},
  },
  process_start_time_seconds: {
    type: 'gauge',
    help: 'When the agent was started, since the epoch.',
    labels: {},
  },
} as const satisfies Record<string, MetricRow>

export type MetricName = keyof typeof METRICS

/** The rows of docs/metrics.md. */
export function metricsTable(): string {
  const rows = Object.entries(METRICS).map(([name, { type, help, labels }]) => {
    const cells = Object.entries(labels).map(([label, values]) => `\`${label}\`: ${values}`)
    return `| \`${name}\` | ${type} | ${cells.join('; ') || '–'} | ${help} |\n`
  })
  return `| metric | type | labels | meaning |\n|---|---|---|---|\n${rows.join('')}`
}
