// SPDX-License-Identifier: Apache-2.0
// Owns the command tree and the one way a command line ends: exit code, one line on stderr, with --json one object.
// The commands are verbs/'s. Each command's file is imported only when it runs, so that `--help` and `config` do
// not wait for webtorrent.
import { CommanderError } from 'commander'
import { AgentError } from '../core/errors.ts'
import { redact } from '../core/redact.ts'
import type { CommandLine } from './command-line.ts'
import { EXIT_CODES, errorLine, exitCodeHelp, exitCodeOf } from './exit-codes.ts'
import { failureOf } from './failure.ts'
import { helpWords } from './help-words.ts'
import { Verb } from './verb.ts'
import { createAdd, errorWriter } from './verbs/adding.ts'
import { addImageVerbs } from './verbs/image-verbs.ts'
import { addMachineVerbs } from './verbs/machine-verbs.ts'
import { addSwarmVerbs } from './verbs/swarm-verbs.ts'

/**
 * Parses and runs one command line. Never rejects: a failure is one line on stderr and an exit code, with --json also
 * one object on stdout.
 * @param argv without node and script
 * @returns the exit code
 */
export async function runCommandLine(argv: readonly string[], line: CommandLine): Promise<number> {
  try {
    const program = createProgram(line, argv)
    await program.parseAsync(helpWords(program, argv), { from: 'user' })
    return EXIT_CODES.ok.code
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return EXIT_CODES.ok.code
    const isParsed = !(thrown instanceof CommanderError)
    // what commander refuses it has said already
    const { error, wire, fields, afterword } = failureOf(isParsed ? thrown : refused(thrown))
    if (argv.includes('--json')) {
      line.stdout.write(`${JSON.stringify(redact({ ...fields, error: wire }))}\n`)
    }
    if (isParsed) line.stderr.write(`${errorLine(error, afterword)}\n`)
    return exitCodeOf(error)
  }
}

/**
 * The command tree.
 * @param argv left out: with the flags of the configuration for every command, as docs/cli.md wants them
 */
export function createProgram(line: CommandLine, argv?: readonly string[]): Verb {
  const program = new Verb('ironswarm')
  program
    .description('Deploy agent for OpenStack Ironic that writes images from a BitTorrent swarm')
    .version(line.version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => line.stdout.write(text),
      writeErr: (text) => line.stderr.write(text),
      outputError: errorWriter('ironswarm'),
    })
    .addHelpText('after', exitCodeHelp())
  const add = createAdd(line, argv)
  addImageVerbs(program, add)
  addSwarmVerbs(program, add)
  addMachineVerbs(program, add)
  return program
}

/** The tree for those who describe it: manual pages, completions. Nothing of it can run. */
export function describeProgram(version: string): Verb {
  const silent = { write: () => true }
  const line = { version, stdout: silent, stderr: silent }
  return createProgram(line as unknown as CommandLine)
}

function refused({ message }: CommanderError): AgentError {
  const details = message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ')
  return new AgentError('InvalidCommandParamsError', details)
}
