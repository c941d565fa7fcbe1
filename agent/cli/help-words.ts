// SPDX-License-Identifier: Apache-2.0
// Owns the ways to ask for help in words. What help says is each command's.
import type { Verb } from './verb.ts'

const FLAGS = ['--help', '-h']

/**
 * The words as the parser is to have them: `help torrent show` asks what `torrent show --help` does, and of a command that
 * there is none of nothing but that is said. The parser by itself would answer both with the help of the whole.
 */
export function helpWords(program: Verb, argv: readonly string[]): string[] {
  let at = program
  const rest: string[] = []
  let isAsked = argv.some((word) => FLAGS.includes(word))
  for (const [index, word] of argv.entries()) {
    if (word.startsWith('-') || at.commands.length === 0) {
      rest.push(...argv.slice(index))
      break
    }
    if (word === 'help') {
      isAsked = true
      continue
    }
    rest.push(word)
    const next = at.commands.find((command) => command.name() === word)
    if (!(next instanceof program.constructor)) return isAsked ? withoutFlags(rest) : [...argv]
    at = next as Verb
  }
  return isAsked ? [...withoutFlags(rest), '--help'] : [...argv]
}

function withoutFlags(words: readonly string[]): string[] {
  return words.filter((word) => !FLAGS.includes(word))
}
