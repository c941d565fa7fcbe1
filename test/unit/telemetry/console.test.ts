import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { showProgress } from '../../../agent/telemetry/console.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'

const MiB = 1024 ** 2
const progress = (part: Partial<Progress> = {}): Progress => ({
  step: 'fetch',
  subject: null,
  unit: 'bytes',
  done: 64 * MiB,
  total: 256 * MiB,
  percent: 25,
  ratePerSecond: 32 * MiB,
  etaSeconds: 6,
  source: 'swarm',
  bytes: { origin: 4 * MiB, peers: 60 * MiB, file: 0 },
  uploadedBytes: 0,
  peers: 5,
  ...part,
})

function consoleOn(options: { isTty: boolean; columns?: number }) {
  let output = ''
  let nowMs = 0
  const events = createEventStream({ now: () => 0 })
  const subscription = showProgress(events, {
    stream: { write: (text) => (output += text) },
    now: () => nowMs,
    ...options,
  })
  const view = {
    show: (figures: Progress) => events.publish({ type: 'progress', progress: figures }),
    close: () => subscription[Symbol.dispose](),
  }
  return {
    view,
    events,
    output: () => output,
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

describe('showProgress', () => {
  test('elsewhere than on a terminal: a whole line every 10 s and at each step, no escape codes', () => {
    const { view, output, pass } = consoleOn({ isTty: false })
    for (let i = 0; i < 50; i++) {
      view.show(progress())
      pass(500)
    }
    view.show(progress({ step: 'read-back' }))
    view.close()
    expect(output().split('\n')).toEqual([
      ...Array(3).fill(
        'writing the image 25.0% 64.0 MiB/256.0 MiB 32.0 MiB/s ETA 0:06 origin 4.0 MiB peers 60.0 MiB (5 peers) swarm',
      ),
      'reading back 25.0% 64.0 MiB/256.0 MiB 32.0 MiB/s ETA 0:06',
      '',
    ])
    expect(output()).not.toContain('\u001B')
    expect(output()).not.toContain('\r')
  })

  test('on a terminal: one line that is written over and never wraps, a fresh line at the end', () => {
    const { view, output } = consoleOn({ isTty: true, columns: 40 })
    view.show(progress())
    view.show(progress({ percent: 26 }))
    view.close()
    view.close()
    const shown = output().split('\r')
    expect(shown).toHaveLength(3)
    expect(shown[1]?.replace('\u001B[K', '')).toHaveLength(39)
    expect(output().endsWith('\u001B[K\n')).toBe(true)
  })

  test('says - for an unknown ETA and no figures for a step without bytes', () => {
    const { view, output } = consoleOn({ isTty: false })
    view.show(progress({ etaSeconds: null }))
    view.show(progress({ step: 'commit', total: 0 }))
    expect(output()).toContain('ETA -')
    expect(output()).toContain('\nmaking the disk bootable\n')
  })

  test('shows figures only, and nothing after it was closed', () => {
    const { view, events, output } = consoleOn({ isTty: false })
    events.publish({ type: 'stage', stage: 'erase', state: 'began' })
    expect(output()).toBe('')
    view.show(progress({ step: 'erase' }))
    view.close()
    view.show(progress({ step: 'done' }))
    expect(output()).toBe('erasing disks 25.0% 64.0 MiB/256.0 MiB 32.0 MiB/s ETA 0:06\n')
  })
})
