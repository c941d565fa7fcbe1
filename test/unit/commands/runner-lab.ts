// SPDX-License-Identifier: Apache-2.0
// Owns a runner of one extension in a folder of its own, for the tests of commands and of their results.
import { join } from 'node:path'
import type { AnyCommand } from '../../../agent/commands/command.ts'
import { createRunner, type RunnerOptions } from '../../../agent/commands/runner.ts'
import { silentLog, temporaryDirectory } from '../../support/agent-in-process.ts'
import { recordedStream } from '../../support/event-lab.ts'

/** A runner with one extension `x` of these commands. */
export async function startRunner(
  commands: Record<string, AnyCommand>,
  options: Partial<RunnerOptions> = {},
) {
  const directory = await temporaryDirectory()
  const events = recordedStream()
  const create = (stream = recordedStream()) =>
    createRunner({
      extensions: [{ name: 'x', commands }],
      runDir: directory.path,
      log: silentLog,
      events: stream,
      ...options,
    })
  return {
    runner: create(events),
    events,
    /** As the next process would make it. */
    restart: () => create(),
    file: join(directory.path, 'commands.json'),
    [Symbol.asyncDispose]: directory[Symbol.asyncDispose],
  }
}
