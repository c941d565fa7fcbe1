// SPDX-License-Identifier: Apache-2.0
// Owns the vocabulary of the event stream as one table: each type, what it carries, who publishes it, who
// reads it and what is kept. Does not hold the types (events.ts).
import type { EventType, News } from './events.ts'

type FieldsOf<T extends EventType> =
  Extract<News, { type: T }> extends infer N ? (N extends unknown ? keyof N : never) : never

interface EventRow<T extends EventType> {
  readonly says: string
  /** What the event carries besides `id`, `at`, `operation` and `type`. */
  readonly fields: { readonly [F in Exclude<FieldsOf<T>, 'type'>]: string }
  /** `history`: kept until the bounds are reached; `latest`: figures, of which a newer one says all. */
  readonly keeps: 'history' | 'latest'
  readonly publishedBy: readonly string[]
  readonly readBy: readonly string[]
}

const BEGAN_ENDED = '`began` or `ended`'
const FACTS = 'facts in the names of the log'
const ERROR = 'as Ironic reads it: type, code, message, details'
const ERR = 'the error with its causes, as the log has it'

/**
 * The one table of events. docs/design/110-event-stream.md is tested against it, and it against the code:
 * a publisher names the type it says, a reader the type it reads; `snapshot` reads them all.
 */
export const EVENT_TABLE: { readonly [T in EventType]: EventRow<T> } = {
  operation: {
    says: 'a piece of work has begun or ended; the end of a part comes before the end of the whole',
    fields: {
      state: BEGAN_ENDED,
      fields: FACTS,
      result: 'at the end: `SUCCESS`, `WARN` or `FAIL`',
      durationMs: 'at the end',
      error: `after \`FAIL\`, ${ERROR}`,
      err: `after \`FAIL\`, ${ERR}`,
    },
    keeps: 'history',
    publishedBy: ['agent/telemetry/operation.ts'],
    readBy: ['agent/telemetry/event-log.ts'],
  },
  command: {
    says: 'a command runs or has ended; a synchronous one is heard of at its end only',
    fields: {
      commandId: '`id` of its result',
      name: 'the short name, as Ironic matches it',
      subject: 'of a command that executes a step: its name',
      status: '`command_status`',
      error: '`command_error`',
      durationMs: 'at the end',
    },
    keeps: 'history',
    publishedBy: ['agent/commands/runner.ts'],
    readBy: ['agent/telemetry/metrics/counted-events.ts'],
  },
  stage: {
    says: 'a step of a piece of work has begun or ended',
    fields: { stage: 'its name, as in the progress', state: BEGAN_ENDED },
    keeps: 'history',
    publishedBy: ['agent/telemetry/progress-meter.ts'],
    readBy: ['agent/telemetry/metrics/counted-events.ts'],
  },
  progress: {
    says: 'figures of the step that runs: twice a second at most, and at each change of step or source',
    fields: { progress: 'what `/v1/status` shows' },
    keeps: 'latest',
    publishedBy: ['agent/telemetry/progress-meter.ts'],
    readBy: ['agent/telemetry/console.ts', 'agent/telemetry/metrics/counted-events.ts'],
  },
  swarm: {
    says: 'figures of the swarm since the write began, when they have changed',
    fields: {
      peers: 'connections',
      downloadedBytes: 'received from peers',
      uploadedBytes: 'sent to peers',
    },
    keeps: 'latest',
    publishedBy: ['agent/telemetry/progress-meter.ts'],
    readBy: [],
  },
  plan: {
    says: 'which stages a piece of work will go through, before the first byte is written',
    fields: { stages: 'their names in order, as in the progress; one may come twice' },
    keeps: 'history',
    publishedBy: ['agent/deploy/write-image.ts', 'agent/cli/swarm/torrent.ts'],
    readBy: [],
  },
  phase: {
    says: 'the agent has come to another part of its life',
    fields: { phase: '`starting`, `serving`, `rescued`, …' },
    keeps: 'history',
    publishedBy: ['agent/cli/run.ts', 'agent/daemon/run.ts'],
    readBy: [],
  },
  machine: {
    says: 'something is known of this machine or its node, or has changed',
    fields: { facts: 'interfaces, disks, node, addresses; what is left out stays as it was' },
    keeps: 'history',
    publishedBy: ['agent/daemon/machine-facts.ts'],
    readBy: [],
  },
  arrays: {
    says: 'how far arrays are that md brings in sync, each 5 s while there are such, and once when there are none any more',
    fields: {
      syncing: 'each with `array`, `action` in the words of the kernel, and `figures`; 16 at most',
    },
    keeps: 'latest',
    publishedBy: ['agent/disk/md/sync-watch.ts'],
    readBy: [],
  },
  ironic: {
    says: 'Ironic was called, and what came of it',
    fields: {
      call: '`lookup`, `heartbeat` or `inspection`',
      result: '`answered` or `failed`',
      reason: 'after a failure: what went wrong',
      errorType: 'after a failure of lookup or heartbeat: which ([errors](../errors.md))',
      nextSeconds: 'until it is called again, where that is known',
    },
    keeps: 'history',
    publishedBy: [
      'agent/ironic/lookup.ts',
      'agent/ironic/heartbeat.ts',
      'agent/daemon/inspection.ts',
    ],
    readBy: ['agent/telemetry/metrics/counted-events.ts'],
  },
  torrent: {
    says: 'figures of one torrent of this node: once a second while it is fetched, each 5 s while it is seeded',
    fields: {
      infoHash: 'hex',
      state: '`fetching`, `seeding` or `left`',
      peers: 'connections',
      asked: 'those that blocks are asked of',
      served: 'those that may ask for blocks',
      peerList: 'those that send most, at most 16',
      trackers: 'each with what it said last, and when it is asked again',
      webseeds: 'servers of the image, without paths',
      originReason: 'why they were given up',
      pieces:
        '`total`, `done`, `bytes` of one, and `map`: tenths that are there, a digit for each stretch',
      badPieces: 'with a wrong hash, by where they came from',
      bytes: '`origin`, `peers`, `uploaded`, `duplicate`',
      rates: 'bytes per second: `origin`, `peers`, `uploaded`',
    },
    keeps: 'latest',
    publishedBy: ['agent/sources/swarm/thread/torrent-news.ts'],
    readBy: ['agent/telemetry/metrics/counted-events.ts'],
  },
  tracker: {
    says: 'a tracker does not answer or refuses, once; it answers again; nobody asks it any longer',
    fields: {
      tracker: 'its url without what may be a secret',
      state: '`failing`, `answering` or `left`',
      reason: 'while failing: its words, or what went wrong',
      fields: FACTS,
    },
    keeps: 'history',
    publishedBy: ['agent/sources/swarm/thread/tracker-notices.ts'],
    readBy: ['agent/telemetry/event-log.ts'],
  },
  warning: {
    says: 'something is degraded, and the work goes on',
    fields: { message: 'constant phrase', fields: FACTS, error: ERROR, err: ERR },
    keeps: 'history',
    publishedBy: ['agent/telemetry/operation.ts'],
    readBy: ['agent/telemetry/event-log.ts', 'agent/telemetry/metrics/counted-events.ts'],
  },
}
