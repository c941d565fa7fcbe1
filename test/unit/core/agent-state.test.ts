import { describe, expect, test } from 'vitest'
import {
  type AgentState,
  INITIAL_STATE,
  nextState,
  stepOf,
} from '../../../agent/core/agent-state.ts'
import type { NewEvent, Stage } from '../../../agent/core/events.ts'
import { progressOf, torrentNews } from '../../support/event-lab.ts'

function stateAfter(...news: NewEvent[]): AgentState {
  return news.reduce(
    (state, event, i) => nextState(state, { ...event, id: i + 1, at: 0 }),
    INITIAL_STATE,
  )
}

const running = (commandId: string): NewEvent => ({
  type: 'command',
  commandId,
  name: 'go',
  status: 'RUNNING',
  error: null,
})
const progress = (percent: number): NewEvent => ({
  type: 'progress',
  progress: progressOf({ percent }),
})
const operation = (name: string, state: 'began' | 'ended'): NewEvent =>
  state === 'began'
    ? { type: 'operation', operation: name, state, fields: {} }
    : { type: 'operation', operation: name, state, result: 'SUCCESS', durationMs: 1, fields: {} }

describe('the state of the agent', () => {
  test('has nothing in it before the first event, and the id of the last one after it', () => {
    expect(stateAfter()).toEqual(INITIAL_STATE)
    expect(stateAfter(progress(1), progress(2)).lastId).toBe(2)
  })

  test('names the running command with its own figures, until it has ended', () => {
    expect(stateAfter(progress(1), running('1')).command).toEqual({
      commandId: '1',
      name: 'go',
      progress: null,
      startedAt: 0,
    })
    expect(stateAfter(running('1'), progress(2)).command?.progress).toMatchObject({ percent: 2 })
    const ended: NewEvent = { ...running('1'), status: 'FAILED' } as NewEvent
    expect(stateAfter(running('1'), progress(2), ended)).toMatchObject({
      command: null,
      progress: { percent: 2 },
    })
  })

  test('keeps the running command when another one, a synchronous one, is over', () => {
    const other: NewEvent = { ...running('2'), status: 'SUCCEEDED' } as NewEvent
    expect(stateAfter(running('1'), other).command?.commandId).toBe('1')
  })

  test('holds the operations that have begun and not ended', () => {
    const begun = [operation('a', 'began'), operation('a/b', 'began'), operation('a/b', 'began')]
    expect(stateAfter(...begun).operations).toEqual(['a', 'a/b', 'a/b'])
    expect(stateAfter(...begun, operation('a/b', 'ended')).operations).toEqual(['a', 'a/b'])
    expect(stateAfter(operation('a', 'began'), operation('c', 'ended')).operations).toEqual(['a'])
  })

  test('is of bounded size, whatever begins without an end', () => {
    const begun = Array.from({ length: 1000 }, (_, i) => operation(`${i}`, 'began'))
    expect(stateAfter(...begun).operations).toHaveLength(64)
    expect(stateAfter(...begun).operations.at(-1)).toBe('999')
  })

  test('names the stage that runs, and the last warning', () => {
    const began: NewEvent = { type: 'stage', stage: 'fetch', state: 'began' }
    const error = { type: 'SwarmError', code: 500, message: 'Error', details: '' }
    const warning: NewEvent = { type: 'warning', message: 'no', fields: {}, error, err: {} }
    expect(stateAfter(began, warning)).toMatchObject({ stage: 'fetch', lastWarning: { error } })
    expect(stateAfter(began, { type: 'stage', stage: 'fetch', state: 'ended' }).stage).toBeNull()
  })

  test('says what is known of the machine, and keeps what is not said again', () => {
    const link = { name: 'eth0', mac: '52:54:00:00:00:01', hasCarrier: true, addresses: [] }
    const known = stateAfter(
      { type: 'machine', facts: { nodeName: 'n1', links: [] } },
      { type: 'machine', facts: { links: [link] } },
    )
    expect(known.machine).toEqual({ nodeName: 'n1', links: [link] })
  })

  test('says when Ironic answered last, also after it has not', () => {
    const call = { type: 'ironic', call: 'heartbeat', nextSeconds: 5 } as const
    const answered = nextState(INITIAL_STATE, {
      ...call,
      result: 'answered',
      reason: null,
      id: 1,
      at: 7,
    })
    expect(answered).toMatchObject({ ironicAnsweredAt: 7, ironic: { result: 'answered' } })
    const failed = nextState(answered, { ...call, result: 'failed', reason: 'no', id: 2, at: 9 })
    expect(failed).toMatchObject({
      ironicAnsweredAt: 7,
      ironic: { result: 'failed', reason: 'no' },
    })
  })

  test('remembers how the last asynchronous command ended', () => {
    const error = {
      type: 'ImageChecksumError',
      code: 500,
      message: 'Error',
      details: 'other bytes',
    }
    const ended: NewEvent = { ...running('1'), status: 'FAILED', error } as NewEvent
    const after = stateAfter(running('1'), ended, {
      ...running('2'),
      status: 'SUCCEEDED',
    } as NewEvent)
    expect(after.lastCommand).toMatchObject({ name: 'go', status: 'FAILED', error })
  })

  test('shows the torrent until it is left', () => {
    expect(stateAfter(torrentNews()).torrent).toMatchObject({ state: 'fetching' })
    expect(stateAfter(torrentNews(), torrentNews({ state: 'left' })).torrent).toBeNull()
  })
})

describe('the steps', () => {
  const plan = (...stages: Stage[]): NewEvent => ({ type: 'plan', stages })
  const began = (stage: Stage): NewEvent => ({ type: 'stage', stage, state: 'began' })

  test('are counted in their order; one may come twice, and again', () => {
    const happened = [began('prepare'), plan('fetch', 'read-back', 'unpack', 'read-back', 'commit')]
    expect(stepOf(stateAfter(...happened))).toBeNull()
    const at = (stage: Stage) => {
      happened.push(began(stage))
      return stepOf(stateAfter(...happened))?.n
    }
    expect((['fetch', 'read-back', 'unpack', 'read-back', 'commit'] as const).map(at)).toEqual([
      1, 2, 3, 4, 5,
    ])
    expect(at('erase')).toBeUndefined()
    expect(at('read-back')).toBe(4)
  })

  test('are not counted where there is one', () => {
    expect(stepOf(stateAfter(plan('read-back'), began('read-back')))).toBeNull()
  })
})
