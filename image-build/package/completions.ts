// SPDX-License-Identifier: Apache-2.0
// Owns the completions of bash and zsh, made of the command tree. Does not install them.
import type { Verb } from '../../agent/cli/verb.ts'
import { leavesOf, ownOptions } from './man-pages.ts'

type Flag = Verb['options'][number]

/** For /usr/share/bash-completion/completions: commands, flags, their values; files elsewhere. */
export function bashCompletion(program: Verb): string {
  const verbs = leavesOf(program)
  const first = (program.commands as readonly Verb[]).map((verb) => verb.name())
  const groups = (program.commands as readonly Verb[]).filter(({ commands }) => commands.length > 0)
  return [
    '# bash completion for ironswarm',
    '_ironswarm() {',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: bash reads it
    '  local cur="$2" prev="$3" command="${COMP_WORDS[1]}" words=',
    `  if ((COMP_CWORD == 1)); then words='${[...first, '--help', '--version'].join(' ')}'`,
    ...groups.map(
      (group) =>
        `  elif ((COMP_CWORD == 2)) && [[ $command == ${group.name()} ]]; then words='${namesOf(group).join(' ')}'`,
    ),
    '  else',
    `    case $command in ${groups.map((group) => group.name()).join('|')}) command+=" \${COMP_WORDS[2]}" ;; esac`,
    '    case "$command $prev" in',
    ...verbs.flatMap((verb) => valueCases(verb)),
    '    esac',
    '    [[ -n $words || $cur != -* ]] || case $command in',
    ...verbs.map((verb) => `      '${verb.path}') words='${flagsOf(verb).join(' ')}' ;;`),
    '    esac',
    '  fi',
    '  [[ -n $words ]] && mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")',
    '}',
    'complete -o default -F _ironswarm ironswarm',
    '',
  ].join('\n')
}

function valueCases(verb: Verb): string[] {
  return ownOptions(verb)
    .filter(({ argChoices }) => argChoices !== undefined)
    .map(
      ({ long, argChoices }) => `      '${verb.path} ${long}') words='${argChoices?.join(' ')}' ;;`,
    )
}

/** For /usr/share/zsh/vendor-completions. */
export function zshCompletion(program: Verb): string {
  const top = program.commands as readonly Verb[]
  return [
    '#compdef ironswarm',
    '_ironswarm() {',
    '  local -a commands',
    ...describeCase('CURRENT == 2', top),
    ...top
      .filter(({ commands }) => commands.length > 0)
      .flatMap((group) =>
        describeCase(`CURRENT == 3 && $words[(I)${group.name()}] == 2`, group.commands as Verb[]),
      ),
    '  case "$words[2] $words[3]" in',
    ...leavesOf(program).map(
      (verb) =>
        `    ('${verb.path}'*) _arguments ${ownOptions(verb).map(zshFlag).join(' ')} '*:file:_files' ;;`,
    ),
    '  esac',
    '}',
    '_ironswarm "$@"',
    '',
  ].join('\n')
}

function describeCase(condition: string, verbs: readonly Verb[]): string[] {
  const entries = verbs.map((verb) => quoted(`${verb.name()}:${verb.description()}`))
  return [
    `  if (( ${condition} )); then`,
    `    commands=(${entries.join(' ')})`,
    "    _describe 'command' commands",
    '    return',
    '  fi',
  ]
}

function zshFlag({ long, description, argChoices, required }: Flag): string {
  const words = description.replaceAll(/[[\]:\\]/g, ' ')
  if (!required) return quoted(`${long}[${words}]`)
  const values = argChoices ? `(${argChoices.join(' ')})` : '_files'
  return quoted(`*${long}[${words}]:value:${values}`)
}

function namesOf(group: Verb): string[] {
  return (group.commands as readonly Verb[]).map((verb) => verb.name())
}

function flagsOf(verb: Verb): string[] {
  return [...ownOptions(verb).flatMap(({ long }) => long ?? []), '--help']
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
