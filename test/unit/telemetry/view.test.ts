import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { INITIAL_STATE, nextState } from '../../../agent/core/agent-state.ts'
import { ERROR_TABLE } from '../../../agent/core/errors.ts'
import type { NewEvent } from '../../../agent/core/events.ts'
import { remedyOf } from '../../../agent/telemetry/view/remedies.ts'
import { ago, viewOf } from '../../../agent/telemetry/view/view.ts'
import { SCENES } from '../../integration/page/scenes.ts'
import { newEvents } from '../../support/event-lab.ts'

const NOW = 1_790_000_000_000

function viewAfter(events: readonly NewEvent[], passedMs = 0) {
  const state = events.reduce(
    (before, event, i) => nextState(before, { ...event, id: i + 1, at: NOW }),
    INITIAL_STATE,
  )
  return viewOf(state, NOW + passedMs)
}
const scene = (name: string, passedMs = 0) => viewAfter(SCENES[name] ?? [], passedMs)

describe('what a person is shown', () => {
  test('waiting for DHCP: which interface has no address', () => {
    expect(scene('waiting for DHCP')).toMatchObject({
      headline: 'Waiting for the network',
      tone: 'waiting',
      detail: 'eno1: no address yet, asking DHCP',
      ironic: { words: 'not asked yet', isWell: true },
    })
  })

  test('waiting for Ironic: what it said, and when it is asked again', () => {
    expect(scene('waiting for Ironic')).toMatchObject({
      headline: 'Waiting for Ironic',
      detail: 'asked again in 14 s',
      ironic: {
        words: 'has not answered: status 404: Could not find a node for given addresses',
        isWell: false,
        remedy: "Check the MAC addresses of the node's ports, and its state in Ironic.",
      },
    })
    expect(scene('waiting for Ironic', 12_000).detail).toBe('asked again in 2 s')
    expect(scene('waiting for Ironic', 20_000).detail).toBe('asked again now')
  })

  test('a burn-in: what is burned in, the time done of the time asked, and no rate', () => {
    expect(scene('burning in')).toMatchObject({
      headline: 'Burning in: memory',
      work: { percent: 5.8, done: '1:23:45', total: '24:00:00', rate: null, eta: '22:36:15' },
    })
  })

  test('an inspection, which no command runs: which collector of how many', () => {
    expect(scene('inspecting')).toMatchObject({
      headline: 'Inspecting the machine: extra-hardware',
      tone: 'working',
      work: { command: null, percent: 37.5, done: '3', total: '8', rate: null, elapsed: null },
    })
  })

  test('figures of what is over are shown no more', () => {
    const over: NewEvent = { type: 'stage', stage: 'inspect', state: 'ended' }
    expect(viewAfter([...(SCENES['inspecting'] ?? []), over]).work).toBeNull()
  })

  test('an array that syncs: beside whatever else is done', () => {
    expect(scene('RAID syncs')).toMatchObject({
      headline: 'Waiting for a command, RAID syncs',
      work: null,
      syncing: [{ array: '/dev/md0', action: 'resync' }],
    })
  })

  test('a deploy: step, figures, and the last warning with what to do', () => {
    const view = scene('deploying by swarm', 12_000)
    expect(view).toMatchObject({
      title: 'rack4-node17',
      headline: 'Writing the image',
      tone: 'working',
      work: {
        step: { n: 1, of: 4 },
        percent: 48.8,
        rate: '101.0 MiB/s',
        elapsed: '0:12',
        peers: 11,
      },
      ironic: { words: 'answered 12 s ago', isWell: true },
      trouble: { kind: 'warning', type: 'SwarmStalledError', ago: '12 s ago' },
    })
    expect(view.trouble?.remedy).toContain('trackers')
  })

  test('a failure stays until the next command, a warning for ten minutes', () => {
    expect(scene('failed', 86_400_000)).toMatchObject({
      headline: 'Failed: write_image',
      detail: 'execute_deploy_step',
      tone: 'wrong',
      trouble: { kind: 'failure', type: 'ImageChecksumError', ago: '24 h ago' },
    })
    expect(scene('deploying by swarm', 86_400_000).trouble).toBeNull()
    const next: NewEvent = {
      ...{ type: 'command', commandId: '2', name: 'go', status: 'RUNNING', error: null },
    }
    expect(viewAfter([...(SCENES['failed'] ?? []), next])).toMatchObject({
      tone: 'working',
      trouble: null,
    })
  })

  test('that Ironic is silent is wrong only after a while', () => {
    const failed: NewEvent = {
      ...{ type: 'ironic', call: 'heartbeat', result: 'failed', reason: 'no', nextSeconds: 5 },
      errorType: 'HeartbeatConnectionError',
    }
    const events = [...(SCENES['waiting for a command'] ?? []), failed]
    expect(viewAfter(events, 10_000).ironic).toMatchObject({
      words: 'answered 10 s ago, then failed: no',
      isWell: true,
      remedy: null,
    })
    expect(viewAfter(events, 1_000_000).ironic).toMatchObject({
      isWell: false,
      remedy: 'Check that this node reaches the API of Ironic.',
    })
  })

  test('can be made of whatever happens', () => {
    fc.assert(
      fc.property(fc.array(newEvents), (events) => {
        expect(viewAfter(events).headline).not.toBe('')
      }),
    )
  })
})

test('there is a remedy for each type of error, short enough for a line of a screen', () => {
  for (const type of Object.keys(ERROR_TABLE)) {
    expect(remedyOf(type), type).toMatch(/^.{10,76}$/)
  }
  expect(remedyOf('toString')).toBeUndefined()
})

test('ages are told as people say them', () => {
  expect([-5, 1499, 119_000, 150_000, 7_200_000].map(ago)).toEqual([
    '0 s ago',
    '1 s ago',
    '119 s ago',
    '3 min ago',
    '2 h ago',
  ])
})
