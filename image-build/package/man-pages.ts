// SPDX-License-Identifier: Apache-2.0
// Owns the manual pages: one for the program, one for each command, one for the options, made of the command tree and
// the option table alone, so that they cannot say otherwise. Does not install them.

import { EXIT_CODES } from '../../agent/cli/exit-codes.ts'
import type { Verb } from '../../agent/cli/verb.ts'
import { formatValue } from '../../agent/config/describe.ts'
import type { OptionRow } from '../../agent/config/option-row.ts'
import { allowedWords } from '../../agent/config/option-value.ts'
import { IMAGE_EPOCH_SECONDS } from '../run.ts'

export interface ManPage {
  /** `ironswarm-torrent-create.1`. */
  readonly name: string
  /** man(7). */
  readonly text: string
}

export interface ManSource {
  readonly program: Verb
  readonly options: Readonly<Record<string, OptionRow>>
  readonly version: string
}

/** Of every file of a package. */
const DATE = new Date(IMAGE_EPOCH_SECONDS * 1000).toISOString().slice(0, 10)

/** All pages, the program's first. */
export function makeManPages({ program, options, version }: ManSource): ManPage[] {
  const verbs = leavesOf(program)
  const see = verbs.map(pageName)
  return [
    { name: 'ironswarm.1', text: programPage(program, verbs, version) },
    ...verbs.map((verb) => ({ name: `${pageName(verb)}.1`, text: verbPage(verb, see, version) })),
    { name: 'ironswarm-options.5', text: optionsPage(options, version) },
  ]
}

/** The commands that do something: `torrent` alone does not. */
export function leavesOf(verb: Verb): Verb[] {
  const inner = verb.commands as readonly Verb[]
  return inner.length === 0 ? [verb] : inner.flatMap(leavesOf)
}

function pageName(verb: Verb): string {
  return `ironswarm-${verb.path.replaceAll(' ', '-')}`
}

function programPage(program: Verb, verbs: readonly Verb[], version: string): string {
  return page('ironswarm', 1, version, [
    section('NAME', [plain(`ironswarm - ${lowered(program.description())}`)]),
    section('SYNOPSIS', [bold('ironswarm'), italic('COMMAND'), '[options]']),
    section('DESCRIPTION', [
      plain(
        'Writes disk images to bare metal: from HTTP servers, or over a BitTorrent swarm of the machines that are deployed at the same time. Whatever is written is read back and compared before the disk can boot. As ',
      ),
      '.B ironswarm run',
      plain('it is a drop-in for ironic-python-agent.'),
    ]),
    section(
      'COMMANDS',
      verbs.flatMap((verb) =>
        tagged(`ironswarm ${verb.path}`, `${verb.description()}; see ${pageName(verb)}(1)`),
      ),
    ),
    section(
      'EXIT STATUS',
      Object.values(EXIT_CODES).flatMap(({ code, meaning }) => tagged(String(code), meaning)),
    ),
    section(
      'ENVIRONMENT',
      tagged('IRONSWARM_OPTION', 'each option of ironswarm-options(5), its name in capitals'),
    ),
    section('FILES', [
      ...tagged('/etc/ironic-python-agent.d/*.conf', 'options, as ironic-python-agent reads them'),
      ...tagged('/var/lib/ironswarm/NAME, NAME.torrent', 'what ironswarm-seed@NAME.service serves'),
    ]),
    section('SEE ALSO', [
      plain([...verbs.map((verb) => `${pageName(verb)}(1)`), 'ironswarm-options(5)'].join(', ')),
    ]),
  ])
}

function verbPage(verb: Verb, see: readonly string[], version: string): string {
  const name = pageName(verb)
  const flags = ownOptions(verb).flatMap(({ flags, description, defaultValue }) => {
    const fallback = typeof defaultValue === 'string' ? ` (default ${defaultValue})` : ''
    return tagged(flags, `${description}${fallback}`)
  })
  return page(name, 1, version, [
    section('NAME', [plain(`${name} - ${verb.description()}`)]),
    section('SYNOPSIS', [bold(`ironswarm ${verb.path}`), plain(verb.usage())]),
    section('OPTIONS', [
      ...flags,
      ...tagged('--help', 'what is said here, shorter'),
      '.PP',
      plain(
        'Besides these each option of ironswarm-options(5) is a flag, with dashes: --swarm-mode off.',
      ),
    ]),
    ...(verb.examples.length === 0
      ? []
      : [
          section(
            'EXAMPLES',
            verb.examples.flatMap(({ does, line }) => [
              '.PP',
              plain(`${does}:`),
              '.PP',
              '.nf',
              '.RS 4',
              plain(line),
              '.RE',
              '.fi',
            ]),
          ),
        ]),
    ...(verb.notes.length === 0
      ? []
      : [
          section(
            'NOTES',
            verb.notes.flatMap((note) => ['.PP', plain(note.replaceAll('\n', ' '))]),
          ),
        ]),
    section('EXIT STATUS', [plain('As of ironswarm(1).')]),
    section('SEE ALSO', [
      plain(
        [
          'ironswarm(1)',
          ...see.filter((other) => other !== name).map((other) => `${other}(1)`),
          'ironswarm-options(5)',
        ].join(', '),
      ),
    ]),
  ])
}

/** Its own: without those that every command takes of the option table. */
export function ownOptions(verb: Verb): Verb['options'] {
  return verb.options.filter(({ hidden }) => !hidden)
}

function optionsPage(options: Readonly<Record<string, OptionRow>>, version: string): string {
  const rows = Object.entries(options).flatMap(([name, row]) => {
    const places = [
      row.karg === undefined ? undefined : `kernel line ${row.karg}`,
      row.secret ? 'no flag, it is a secret' : `flag --${name.replaceAll('_', '-')}`,
      `environment IRONSWARM_${name.toUpperCase()}`,
    ].filter((place) => place !== undefined)
    const fallback = formatValue(row.default)
    const words = [
      `${row.doc}.`,
      `Takes ${allowedWords(row)}${fallback === '-' ? '' : `; default ${fallback}`}.`,
      `Also: ${places.join(', ')}.`,
      ...(row.noEffect ? ['No effect in this version.'] : []),
    ]
    return tagged(row.section ? `${name} [${row.section}]` : name, words.join(' '))
  })
  return page('ironswarm-options', 5, version, [
    section('NAME', [plain('ironswarm-options - the options of ironswarm')]),
    section('DESCRIPTION', [
      plain(
        'Options are read from, each stronger than those before it: their defaults; INI files of /etc/ironic-python-agent.d and /etc/ironic-python-agent; the kernel command line; virtual media; the environment; flags. Sections other than DEFAULT stand behind the name. ironswarm-config(1) says which value comes from where.',
      ),
    ]),
    section('OPTIONS', rows),
    section('SEE ALSO', [plain('ironswarm(1), ironswarm-config(1)')]),
  ])
}

function page(name: string, chapter: number, version: string, sections: readonly string[]): string {
  const head = `.TH ${name.toUpperCase()} ${chapter} "${DATE}" "ironswarm ${version}" "ironswarm"`
  return `${[head, ...sections].join('\n')}\n`
}

function section(name: string, lines: readonly string[]): string {
  // a paragraph of its own begins there anyway
  const [first, ...rest] = lines
  return [`.SH ${name}`, ...(first === '.PP' ? rest : lines)].join('\n')
}

function tagged(tag: string, words: string): string[] {
  return ['.TP', bold(tag), plain(words)]
}

function bold(text: string): string {
  return `.B ${plain(text).replaceAll('"', '\\(dq')}`
}

function italic(text: string): string {
  return `.I ${plain(text)}`
}

/** Text that roff takes as it is: no line begins with a control character, no dash becomes a hyphen. */
function plain(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&')
    .replaceAll('–', '\\(en')
    .replaceAll('≥', '\\(>=')
    .replaceAll('…', '...')
}

function lowered(text: string): string {
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`
}
