// SPDX-License-Identifier: Apache-2.0
// Owns what a command says of itself besides its flags: examples, and which flags have to be given. Help, man
// pages and completions are made of it. Knows no one command.
import { Command, Option } from 'commander'

/** One line to type, and what it does. */
export interface Example {
  readonly does: string
  readonly line: string
}

/** A command with examples. */
export class Verb extends Command {
  readonly examples: Example[] = []
  /** What is said in --help behind the examples. */
  readonly notes: string[] = []

  override createCommand(name?: string): Verb {
    return new Verb(name)
  }

  /** Shown in --help and in the man page. */
  example(does: string, line: string): this {
    this.examples.push({ does, line })
    return this
  }

  /** A paragraph behind the examples. */
  note(text: string): this {
    this.notes.push(text)
    return this
  }

  /** A flag without which the command does nothing. */
  needs(flags: string, doc: string): this {
    return this.requiredOption(flags, `${doc} (required)`)
  }

  /** A flag that may be given several times, a value each: one that took many would take the words behind it too. */
  repeatable(flags: string, doc: string): this {
    const option = new Option(flags, `${doc}; repeatable`)
    option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text])
    return this.addOption(option)
  }

  /** Its words from the program on: `torrent create`. */
  get path(): string {
    const { parent } = this
    return parent instanceof Verb && parent.parent ? `${parent.path} ${this.name()}` : this.name()
  }
}

/** Of a terminal that does not say, characters; commander's own. */
const COLUMNS = 80

/** The examples and notes as `--help` shows them, notes fitted to the width; empty without any. */
export function helpBehind(verb: Verb, columns = COLUMNS): string {
  const { examples, notes } = verb
  const shown = examples.map(({ does, line }) => `  # ${does}\n  ${line}`)
  return [
    ...(shown.length > 0 ? [`\nExamples:\n${shown.join('\n')}`] : []),
    ...notes.map((note) => `\n${verb.createHelp().boxWrap(note.replaceAll('\n', ' '), columns)}`),
  ].join('\n')
}
