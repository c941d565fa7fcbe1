import { describe, expect, test } from 'vitest'
import { createSheet } from '../../../../agent/cli/terminal/output.ts'
import { openScreen } from '../../../../agent/cli/terminal/screen.ts'
import { createEventStream } from '../../../../agent/telemetry/event-stream.ts'
import { progressOf } from '../../../support/event-lab.ts'
import { createSmallTerminal } from '../../../support/small-terminal.ts'

function log() {
  const stream = { text: '', write: (more: string) => (stream.text += more) }
  return stream
}

describe('a screen', () => {
  test('keeps what is said above the line that is written over, and a kind of warning to one place', () => {
    const terminal = createSmallTerminal(60)
    const events = createEventStream({ now: () => 0 })
    const screen = openScreen({ stdout: terminal, stderr: terminal, events }, { isJson: false })
    screen.say('a from b to c')
    events.publish({ type: 'plan', stages: ['fetch', 'read-back', 'commit'] })
    events.publish({ type: 'stage', stage: 'fetch', state: 'began' })
    const progress = (percent: number) =>
      events.publish({
        type: 'progress',
        progress: progressOf({ step: 'fetch', percent, done: percent, total: 100 }),
      })
    progress(10)
    screen.warn('connection refused; attempt 2 of 10, again in 1 s', 'u')
    progress(20)
    screen.warn('connection refused; attempt 3 of 10, again in 5 s', 'u')
    screen.warn('something else')
    progress(30)
    expect(terminal.lines()).toEqual([
      'a from b to c',
      'connection refused; attempt 3 of 10, again in 5 s',
      'something else',
      expect.stringMatching(/^1\/3 writing the image .*30\.0%/),
    ])
    screen[Symbol.dispose]()
    terminal.write('the end\n')
    expect(terminal.lines().slice(3)).toEqual([expect.stringMatching(/30\.0%/), 'the end', ''])
  })

  test('takes no orders from what it is given', () => {
    const [terminal, file] = [createSmallTerminal(60), log()]
    for (const stdout of [terminal, file]) {
      const sheet = createSheet({ stdout, stderr: file, liveOn: 'stdout', now: () => 0 })
      sheet.line('stdout', 'image\u001B[2J one\r\nof a stranger')
      sheet.live('50%\u001B[H of it')
      sheet.close()
    }
    expect(terminal.lines()).toEqual(['image [2J one of a stranger', '50% [H of it', ''])
    expect(file.text).toBe('image [2J one of a stranger\n')
  })

  test('writes over a warning that took two rows', () => {
    const terminal = createSmallTerminal(20)
    const sheet = createSheet({
      stdout: terminal,
      stderr: terminal,
      liveOn: 'stdout',
      now: () => 0,
    })
    sheet.live('50%')
    sheet.line('stderr', 'a warning of more than a row', 'w')
    sheet.line('stderr', 'a warning of more than one', 'w')
    expect(terminal.lines()).toEqual(['a warning of more th', 'an one', '50%'])
  })

  test('fits itself to a window that changes', () => {
    const terminal = createSmallTerminal(100)
    const events = createEventStream({ now: () => 0 })
    using _screen = openScreen({ stdout: terminal, stderr: terminal, events }, { isJson: false })
    const publish = () =>
      events.publish({
        type: 'progress',
        progress: progressOf({ step: 'fetch', percent: 50, done: 1, total: 2 }),
      })
    publish()
    terminal.columns = 30
    publish()
    expect(terminal.lines().at(-1)?.length).toBeLessThan(30)
  })

  test('writes no escape code where nobody sees it, and repeats seldom', () => {
    const [stdout, stderr] = [log(), log()]
    let now = 0
    const sheet = createSheet({ stdout, stderr, liveOn: 'stdout', now: () => now })
    sheet.live('10%')
    for (const at of [0, 1000, 9999, 10_000]) {
      now = at
      sheet.line('stderr', `attempt at ${at}`, 'u')
    }
    sheet.line('stdout', 'done')
    sheet.close()
    expect(stderr.text).toBe('attempt at 0\nattempt at 10000\n')
    expect(stdout.text).toBe('done\n')
  })

  test('with --json says nothing on stdout', () => {
    const [stdout, stderr] = [log(), log()]
    const events = createEventStream({ now: () => 0 })
    using screen = openScreen({ stdout, stderr, events }, { isJson: true })
    screen.say('a from b to c')
    events.publish({ type: 'progress', progress: progressOf({ step: 'fetch' }) })
    expect(stdout.text + stderr.text).toBe('')
  })
})
