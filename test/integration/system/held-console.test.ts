// A terminal whose output somebody has stopped (Scroll Lock on a screen, tcflow(3)) takes nothing: who shows something
// there has to go on all the same.
import { spawn, spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

const AGENT = pathToFileURL(`${resolve('agent')}/`).href

/** Draws on the terminal, and ends after 20 turns of its timer. */
const DRAWING = `
  const { openConsoles } = await import('${AGENT}daemon/consoles.ts')
  const { createEventStream } = await import('${AGENT}telemetry/event-stream.ts')
  const events = createEventStream({ now: () => 0 })
  const stderr = { write: () => true }
  const paths = [process.argv[1]]
  const consoles = openConsoles({ paths, stderr, now: Date.now, events, recentLog: () => '' })
  if (consoles.notOpened.length > 0) throw new Error(consoles.notOpened[0].reason)
  let turns = 0
  const timer = setInterval(() => {
    events.publish({ type: 'phase', phase: turns % 2 ? 'serving' : 'waiting for the network' })
    turns += 1
    if (turns < 40) return
    clearInterval(timer)
    consoles[Symbol.dispose]()
    process.exit(7)
  }, 50)
`
const HELD = `
import os, subprocess, sys, termios
master, slave = os.openpty()
termios.tcflow(slave, termios.TCOOFF)
# what is drawn is more than its buffer takes
sys.exit(subprocess.run(sys.argv[1:] + [os.ttyname(slave)], timeout=120).returncode)
`

test.skipIf(spawnSync('python3', ['--version']).status !== 0)(
  'a terminal that is held holds nobody up',
  async () => {
    const node = [process.execPath, '--input-type=module', '--eval', DRAWING, '--']
    const child = spawn('python3', ['-c', HELD, ...node], { stdio: ['ignore', 'ignore', 'pipe'] })
    let words = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (words += text))
    const code = await new Promise((done) => child.once('close', done))
    expect(code, words).toBe(7)
  },
)
