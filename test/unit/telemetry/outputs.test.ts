// Every form of secret against every output of the agent, each made by the real component.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { statusFields } from '../../../agent/api/status.ts'
import { errorLine } from '../../../agent/cli/exit-codes.ts'
import { createPlainLog } from '../../../agent/cli/terminal/plain-log.ts'
import { createRunner } from '../../../agent/commands/runner.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { HttpFailure } from '../../../agent/http/failure.ts'
import { showProgress } from '../../../agent/telemetry/console.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { warn } from '../../../agent/telemetry/operation.ts'
import { createRecentLines } from '../../../agent/telemetry/recent-lines.ts'
import {
  async_,
  standInExtensions,
  sync,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'
import { progressOf, recordedStream } from '../../support/event-lab.ts'
import { SECRET_FORMS, secretsIn } from '../../support/secrets.ts'
import { POST, startServer, TOKEN } from '../api/server-lab.ts'

const FORMS = Object.entries(SECRET_FORMS)

/** Errors in which a form stands as the message, the details and the cause. */
const errorsOf = (text: string) => [
  new Error(`GET ${text} failed`),
  new AgentError('ImageDownloadError', `${text}: 3 attempts`),
  new Error('refused', { cause: new Error(text) }),
  new HttpFailure('connect', text),
]

interface Output {
  readonly name: string
  /** All that comes out where the text goes in. */
  of(text: string): string | Promise<string>
}

const OUTPUTS: readonly Output[] = [
  {
    name: 'the log as JSON, with the lines kept for the log bundle',
    of: (text) => {
      const lines: string[] = []
      const recent = createRecentLines(1_000_000)
      const destination = { write: (line: string) => lines.push(line) }
      const log = createLogger({ level: 'trace', destination, copyTo: recent })
      log.info({ url: text, nested: [{ text }] }, text)
      log.child({ url: text }).warn(text)
      for (const err of errorsOf(text)) log.error({ err, reason: err.message }, 'failed')
      for (const line of lines) JSON.parse(line)
      return lines.join('') + recent.text()
    },
  },
  {
    name: 'the log as plain lines, on stderr of the command line',
    of: (text) => {
      let said = ''
      const tell = (more: string) => {
        said += more
      }
      const log = createLogger({ level: 'info', destination: createPlainLog(tell) })
      log.info({ url: text, reason: text, attempt: 2, wait_ms: 1 }, 'image url asked again')
      log.warn({ reason: text }, 'source gives up')
      for (const err of errorsOf(text)) log.warn({ err }, 'source gives up')
      return said
    },
  },
  {
    name: 'the last line of a failed command',
    of: (text) =>
      errorsOf(text)
        .map((error) => errorLine(error))
        .join('\n'),
  },
  {
    name: 'the stream of events, its replay, its state, and the log made of it',
    of: (text) => {
      const lines: string[] = []
      const stream = recordedStream()
      using _log = logEvents(
        stream,
        createLogger({ level: 'trace', destination: { write: (line) => lines.push(line) } }),
      )
      stream.publish({ type: 'operation', operation: 'x', state: 'began', fields: { text } })
      for (const error of errorsOf(text)) warn(stream, 'no', { url: text }, error)
      return JSON.stringify([stream.seen, stream.since(0), stream.snapshot()]) + lines.join('')
    },
  },
  {
    name: 'the console and the status',
    of: (text) => {
      let shown = ''
      const stream = recordedStream()
      using _console = showProgress(stream, {
        stream: { write: (more) => (shown += more) },
        isTty: false,
        now: () => 0,
      })
      stream.publish({ type: 'progress', progress: progressOf({ source: text }) })
      const more = { nodeUuid: null, isSeeding: false, isImageOnDisk: true, leftOutManagers: [] }
      return shown + JSON.stringify(statusFields(stream.snapshot(), more))
    },
  },
]

describe.each(OUTPUTS)('no secret is in $name', ({ of }) => {
  test.each(FORMS)('%s', async (_name, text) => {
    const shown = await of(text)
    expect(shown.length).toBeGreaterThan(10)
    expect(secretsIn(shown)).toEqual([])
  })
})

describe('no secret is in what the API answers', () => {
  test('for a command that fails, at once or later, and in the copy of the results on disk', async () => {
    await using directory = await temporaryDirectory()
    const failures = FORMS.map(([, text], i) => errorsOf(text)[i % 4] as Error)
    let next = 0
    const fail = () => {
      throw failures[next++ % failures.length]
    }
    const stream = recordedStream()
    const runner = createRunner({
      extensions: standInExtensions({
        'log.fail': sync(fail),
        'standby.fail': async_(async () => fail()),
      }),
      runDir: directory.path,
      log: createLogger({ level: 'silent' }),
      events: stream,
    })
    await using api = await startServer({ runner })
    const answers: string[] = []
    for (const names of [['log.fail'], ['standby.fail']]) {
      // one after the other: the next command fails in the next way
      for (const name of failures.flatMap((_, i) => (i % 2 === 0 ? names : []))) {
        const answer = await api.command(name)
        answers.push(answer.text)
        expect(
          `${answer.json['faultstring']}${JSON.stringify(answer.json['command_error'])}`,
        ).toContain('***')
      }
    }
    answers.push((await api.call('GET', `/v1/commands/?agent_token=${TOKEN}`)).text)
    answers.push(readFileSync(`${directory.path}/commands.json`, 'utf8'))
    expect(secretsIn(answers.join('\n'))).toEqual([])
    expect(secretsIn(JSON.stringify(stream.seen))).toEqual([])
    await runner.close()
  })

  test('for a request that holds one, in path, query, body or header, nor in the log of it', async () => {
    const lines: string[] = []
    const log = createLogger({ level: 'trace', destination: { write: (line) => lines.push(line) } })
    await using api = await startServer({ log })
    const answers: string[] = []
    for (const [, text] of FORMS) {
      answers.push((await api.call('GET', `/x${encodeURIComponent(` ${text}`)}`)).text)
      answers.push((await api.call('GET', `/v1/x?y=${encodeURIComponent(text)}`)).text)
      answers.push((await api.call('POST', POST, text)).text)
      answers.push((await api.call('POST', POST, JSON.stringify({ name: text, params: {} }))).text)
    }
    expect(answers.every((answer) => answer.includes('faultstring'))).toBe(true)
    expect(secretsIn(answers.join('\n'))).toEqual([])
    expect(secretsIn(lines.join(''))).toEqual([])
  })

  test('and a path without end is a short line', async () => {
    const lines: string[] = []
    const log = createLogger({ level: 'trace', destination: { write: (line) => lines.push(line) } })
    await using api = await startServer({ log })
    await api.call('GET', `/${'a-'.repeat(7600)}`)
    await expect.poll(() => lines.length).toBe(1)
    expect(lines[0]?.length).toBeLessThan(600)
    expect(JSON.parse(lines[0] as string).path).toMatch(/^\/a-a-.*… 149\d\d bytes cut$/)
  })
})
