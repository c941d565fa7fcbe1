// The screen of a real terminal while the agent runs: drawn in place, of the terminal's width, with keys that are read.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { freePort, stopChild } from '../../support/processes.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'

const WAIT = { timeout: 60_000, interval: 200 }
const children: ChildProcess[] = []
afterEach(async () => {
  await Promise.all(children.splice(0).map(stopChild))
})

/** An agent that nobody answers, on a terminal of its own (script(1)). */
async function agentOnTerminal(directory: string, columns: number) {
  const config = join(directory, 'agent.conf')
  const nic = join(directory, 'root/sys/class/net/eth0')
  await mkdir(nic, { recursive: true })
  const attributes = { address: '52:54:00:00:00:01', carrier: '1', operstate: 'up', type: '1' }
  for (const [name, text] of Object.entries(attributes))
    await writeFile(join(nic, name), `${text}\n`)
  const rows = {
    listen_host: '127.0.0.1',
    listen_port: await freePort(),
    // discard: nobody listens
    api_url: 'http://127.0.0.1:9',
    run_dir: join(directory, 'run'),
    os_root: join(directory, 'root'),
    machine_control: 'log',
    // long enough that a key makes the difference
    lookup_interval: 60,
  }
  const lines = Object.entries(rows).map(([name, value]) => `${name} = ${value}\n`)
  await writeFile(config, `[DEFAULT]\n${lines.join('')}`)
  const command = AGENT_COMMAND.join(' ')
  const log = join(directory, 'log')
  const child = spawn(
    'script',
    [
      ...['--quiet', '--flush', '--command'],
      `stty cols ${columns} rows 25; exec ${command} run --config-file ${config} --consoles $(tty) >${log} 2>&1`,
      '/dev/null',
    ],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  )
  children.push(child)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
  const has = (words: RegExp, from = 0) => words.test(output.slice(from))
  return { output: () => output, has, type: (key: string) => child.stdin.write(key), log }
}

const hasScript = spawnSync('script', ['--version']).status === 0

test.skipIf(!hasScript)('keys change the page and ask Ironic at once', async () => {
  await using directory = await temporaryDirectory()
  const { output, has, type } = await agentOnTerminal(directory.path, 80)
  await expect.poll(() => has(/asked again in \d\d s/), WAIT).toBe(true)
  expect(has(/eth0 +52:54:00:00:00:01/)).toBe(true)
  expect(has(/F facts {3}L log {3}N network/)).toBe(true)
  type('f')
  await expect.poll(() => has(/ Processors /), WAIT).toBe(true)
  type('l')
  await expect.poll(() => has(/warn {2}lookup failed: /), WAIT).toBe(true)
  const tries = () =>
    readFileSync(join(directory.path, 'log'), 'utf8').split('lookup failed').length
  const [before, from] = [tries(), output().length]
  type('r')
  await expect.poll(tries, { timeout: 45_000, interval: 100 }).toBe(before + 1)
  await expect.poll(() => has(/Waiting for Ironic/, from), WAIT).toBe(true)
})

test.skipIf(!hasScript)('a narrow terminal is never written over its edge', async () => {
  await using directory = await temporaryDirectory()
  const { output, has } = await agentOnTerminal(directory.path, 40)
  await expect.poll(() => has(/Waiting for Ironic/), WAIT).toBe(true)
  const drawn = output().split('\u001B')
  const texts = drawn.flatMap((part) => /^\[[\d;]*m(.+)/s.exec(part)?.[1] ?? [])
  expect(Math.max(...texts.map(({ length }) => length))).toBe(40)
  expect(has(/\n/)).toBe(false)
})
