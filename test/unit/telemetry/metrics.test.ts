import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { formatMetrics, type Sample } from '../../../agent/telemetry/metrics/exposition.ts'
import { createHistogram } from '../../../agent/telemetry/metrics/figures.ts'
import { createMetrics } from '../../../agent/telemetry/metrics/metrics.ts'
import { METRICS, metricsTable } from '../../../agent/telemetry/metrics/table.ts'
import { SCENES, SYNCING } from '../../integration/page/scenes.ts'
import { newEvents, progressOf, torrentNews } from '../../support/event-lab.ts'
import { hasPackages } from '../../support/packages.ts'

function lab() {
  const stream = createEventStream({ now: () => 1_700_000_000_000 })
  const metrics = createMetrics({
    events: stream,
    version: '1.2.3',
    startedAt: 1_700_000_000,
    diskWrites: async (names) =>
      names.map((name) => ({ device: name.replace('/dev/', ''), bytes: 512, seconds: 0.25 })),
    clients: () => 2,
  })
  return {
    ...stream,
    metrics,
    text: metrics.text,
    /** The figures of one metric, by what stands in its braces. */
    of: async (name: string) => {
      const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith(name))
      return Object.fromEntries(
        lines.map((line) => [
          line.slice(name.length, line.lastIndexOf(' ')),
          Number(line.split(' ').at(-1)),
        ]),
      )
    },
    [Symbol.dispose]: () => metrics[Symbol.dispose](),
  }
}

const write = (origin: number, peers: number, step: 'fetch' | 'done' = 'fetch') =>
  ({
    type: 'progress',
    progress: progressOf({ step, bytes: { origin, peers, file: 0 } }),
  }) as const

/** Something of everything. */
function tellAll({ publish }: Pick<ReturnType<typeof lab>, 'publish'>): void {
  const error = { type: 'SwarmError', code: 500, message: 'Error', details: 'no' }
  publish({ type: 'phase', phase: 'serving' })
  publish({
    type: 'machine',
    facts: {
      nodeUuid: '9a8b7c6d-0000-4000-8000-000000000000',
      disks: [{ name: '/dev/sda', sizeBytes: 1, model: '' }],
    },
  })
  publish(SYNCING)
  const ironic = { type: 'ironic', call: 'heartbeat', nextSeconds: 1 } as const
  publish({ ...ironic, result: 'answered', reason: null })
  publish({ ...ironic, result: 'failed', reason: 'no' })
  publish({ ...ironic, call: 'lookup', result: 'answered', reason: null })
  publish({ type: 'command', commandId: '1', name: 'go', status: 'RUNNING', error: null })
  publish({ type: 'stage', stage: 'fetch', state: 'began' })
  publish(write(1, 2))
  publish({ type: 'stage', stage: 'fetch', state: 'ended' })
  publish(torrentNews())
  publish({ type: 'warning', message: 'no', fields: {}, error, err: {} })
  const ended = { type: 'command', commandId: '2', name: 'sync', durationMs: 700 } as const
  publish({ ...ended, status: 'SUCCEEDED', error: null })
}

describe('metrics', () => {
  test('count the bytes of one write after the other, by where they came from', async () => {
    using metrics = lab()
    for (const event of [write(10, 0), write(10, 5), write(10, 20, 'done')]) metrics.publish(event)
    for (const event of [write(0, 0), write(100, 0)]) metrics.publish(event)
    expect(await metrics.of('ipa_image_bytes_written_total')).toEqual({
      '{source="origin"}': 110,
      '{source="peers"}': 20,
      '{source="file"}': 0,
    })
  })

  test('count what a torrent sent, and what the next one sends besides', async () => {
    using metrics = lab()
    const bytes = { origin: 0, peers: 7, uploaded: 30, duplicate: 0 }
    metrics.publish(torrentNews({ bytes, badPieces: { origin: 0, peers: 2 } }))
    metrics.publish(torrentNews({ bytes, badPieces: { origin: 0, peers: 2 }, state: 'left' }))
    expect(await metrics.of('ipa_swarm_peers')).toEqual({})
    metrics.publish(torrentNews({ bytes: { ...bytes, uploaded: 40 } }))
    expect(await metrics.of('ipa_swarm_upload_bytes_total')).toEqual({ '': 70 })
    expect(await metrics.of('ipa_swarm_download_bytes_total')).toEqual({ '': 14 })
    expect(await metrics.of('ipa_pieces_failed_total')).toEqual({
      '{peer_kind="origin"}': 0,
      '{peer_kind="peers"}': 2,
    })
    expect(await metrics.of('ipa_swarm_pieces')).toEqual({
      '{state="verified"}': 1,
      '{state="missing"}': 1,
    })
  })

  test('have the figures of what runs in its unit, and of arrays that sync', async () => {
    using metrics = lab()
    for (const event of [...(SCENES['burning in'] ?? []), SYNCING]) metrics.publish(event)
    const all = await metrics.of('ipa_progress_')
    expect(all).toEqual({
      'done{step="burn-in",unit="seconds"}': 5025,
      'target{step="burn-in",unit="seconds"}': 86_400,
      'eta_seconds{step="burn-in"}': 81_375,
    })
    const labels = '{device="md0",action="resync"}'
    expect(await metrics.of('ipa_array_sync_')).toEqual({
      [`ratio${labels}`]: expect.closeTo(0.123, 6),
      [`bytes_per_second${labels}`]: 180 * 1024 * 1024,
      [`eta_seconds${labels}`]: 489,
    })
    metrics.publish({ type: 'arrays', syncing: [] })
    expect(await metrics.of('ipa_array_sync_')).toEqual({})
  })

  test('tell heartbeats that were answered from those that were not', async () => {
    using metrics = lab()
    tellAll(metrics)
    expect(await metrics.of('ipa_heartbeat_total')).toEqual({
      '{result="answered"}': 1,
      '{result="failed"}': 1,
    })
  })

  test('are those of the table, every one of them once something of everything has happened', async () => {
    using metrics = lab()
    tellAll(metrics)
    const typed = [...(await metrics.text()).matchAll(/^# TYPE (\w+) (\w+)$/gm)]
    expect(typed.map(([, name, type]) => [name, type])).toEqual(
      Object.entries(METRICS).map(([name, { type }]) => [name, type]),
    )
  })

  test('have the labels of the table', async () => {
    using metrics = lab()
    tellAll(metrics)
    for (const line of (await metrics.text()).split('\n').filter((each) => /^[a-z]/.test(each))) {
      const name = /^\w+/.exec(line)?.[0].replace(/_(?:bucket|sum|count)$/, '') ?? ''
      const labels = [...line.matchAll(/(\w+)="/g)].map(([, label]) => label)
      const row = METRICS[name as keyof typeof METRICS]
      expect(
        labels.filter((label) => label !== 'le'),
        line,
      ).toEqual(Object.keys(row.labels))
    }
  })

  test('are of bounded number, whatever names commands have', async () => {
    using metrics = lab()
    for (let i = 0; i < 1000; i++) {
      metrics.publish({
        type: 'command',
        commandId: `${i}`,
        name: `command ${i}`,
        status: 'SUCCEEDED',
        error: null,
        durationMs: 1,
      })
    }
    const counts = await metrics.of('ipa_command_duration_seconds_count')
    expect(Object.keys(counts)).toHaveLength(65)
    expect(counts['{command="other",status="other"}']).toBe(1000 - 64)
  })

  test('hold what a reader can tell from a label, however it is written', () => {
    const value = 'a "quoted" \\ back\nline'
    const sample: Sample = { name: 'ipa_build_info', labels: { version: value }, value: 1 }
    const line = formatMetrics([sample]).split('\n')[2] ?? ''
    expect(JSON.parse(/version=(".*")}/.exec(line)?.[1] ?? '')).toBe(value)
  })

  test('no sequence of events makes a counter go back', async () => {
    const isCounter = (line: string) => /^ipa_\w+_total/.test(line)
    const figures = (text: string) =>
      new Map(
        text
          .split('\n')
          .filter(isCounter)
          .map((line) => [line.split(' ')[0], Number(line.split(' ').at(-1))]),
      )
    await fc.assert(
      fc.asyncProperty(fc.array(newEvents, { maxLength: 30 }), async (all) => {
        using metrics = lab()
        let before = new Map<string | undefined, number>()
        for (const event of all) {
          metrics.publish(event)
          const now = figures(await metrics.text())
          for (const [key, value] of before) expect(now.get(key)).toBeGreaterThanOrEqual(value)
          before = now
        }
      }),
      { numRuns: 30 },
    )
  })
})

test('a histogram counts each value in its bucket and all above it', () => {
  const histogram = createHistogram('ipa_command_duration_seconds', [1, 10])
  for (const value of [0.5, 1, 5, 50]) histogram.observe({ command: 'a' }, value)
  expect(
    histogram.samples().map(({ suffix, labels, value }) => [suffix, labels['le'], value]),
  ).toEqual([
    ['_bucket', '1', 2],
    ['_bucket', '10', 3],
    ['_bucket', '+Inf', 4],
    ['_sum', undefined, 56.5],
    ['_count', undefined, 4],
  ])
})

test('docs/metrics.md has each metric as the table has it', () => {
  const page = readFileSync('docs/metrics.md', 'utf8')
  expect(page.split('<!-- metrics -->\n')[1]).toBe(metricsTable())
})

describe.skipIf(!hasPackages('metrics'))('promtool', () => {
  test('finds nothing to say about them', async () => {
    using metrics = lab()
    tellAll(metrics)
    const input = await metrics.text()
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input,
      encoding: 'utf8',
    })
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
  })
})
