// SPDX-License-Identifier: Apache-2.0
// Owns what each command of a menu does to the session. A command that is not listed is not followed, for it might be
// what decides. Nothing is run, nothing is written.
import { type BlsEntry, MOST_ENTRY_BYTES, orderOfGrub, parseBlsEntry } from '../bls.ts'
import { type ImageFile, notUnderstood } from '../boot-entry.ts'
import { evaluateCondition } from './condition.ts'
import { MOST_GRUBENV_BYTES, parseEnvironmentBlock } from './environment-block.ts'
import { deviceOf, placeOf, type SearchKey } from './place.ts'
import type { Script } from './script.ts'
import { type Session, variable } from './session.ts'

export interface Call {
  readonly name: string
  readonly args: readonly string[]
  readonly line: number
  readonly block: Script | undefined
}

/** Resolves to the status that `if` asks for. Throws InvalidImage. */
type Run = (call: Call, session: Session) => Promise<boolean> | boolean

/** What changes screen, keyboard, speed or modules, and nothing of what is started. */
const WITHOUT_EFFECT = [
  ...['background_color', 'background_image', 'clear', 'decrement', 'echo', 'export', 'gfxmode'],
  ...['increment', 'insmod', 'keymap', 'loadfont', 'lsefi', 'password', 'password_pbkdf2', 'play'],
  ...['recordfail', 'rmmod', 'save_env', 'serial', 'sleep', 'terminal_input', 'terminal_output'],
  ...['terminfo', 'true', 'unset_recordfail', 'videoinfo', 'videomode', 'wrmsr'],
]
const MOST_BLS_ENTRIES = 256
const BLS_FOLDERS = ['/loader/entries', '/boot/loader/entries'] as const

const set: Run = ({ args }, { variables }) => {
  for (const arg of args) {
    const at = arg.indexOf('=')
    if (at > 0) variables.set(arg.slice(0, at), arg.slice(at + 1))
  }
  return true
}

const unset: Run = ({ args }, { variables }) => {
  for (const name of args) variables.delete(name)
  return true
}

const test: Run = ({ name, args, line }, session) => {
  if (name === '[' && args.at(-1) !== ']') throw notUnderstood(line, '"]" is missing')
  const root = variable(session, 'root')
  const words = name === '[' ? args.slice(0, -1) : args
  return evaluateCondition(words, { line, disk: session.disk, root })
}

const SEARCH_KEYS: ReadonlyMap<string, SearchKey> = new Map([
  ['-u', 'uuid'],
  ['--fs-uuid', 'uuid'],
  ['search.fs_uuid', 'uuid'],
  ['-l', 'label'],
  ['--label', 'label'],
  ['--fs-label', 'label'],
  ['search.fs_label', 'label'],
  ['-f', 'file'],
  ['--file', 'file'],
  ['search.file', 'file'],
])

const search: Run = async ({ name, args, line }, session) => {
  const words = withoutHints(args)
  const keys = [name, ...words].flatMap((word) => SEARCH_KEYS.get(word) ?? [])
  const values = words.filter((word) => !word.startsWith('-'))
  const joined = words.find((word) => word.startsWith('--set='))?.slice('--set='.length)
  const isNamed = words.includes('--set') || words.includes('-s')
  const named = name === 'search' ? joined : values[1]
  const target = (isNamed ? values.shift() : named) ?? 'root'
  const [value] = values
  if (value === undefined) throw notUnderstood(line, 'a search for nothing')
  const partition = await session.disk.search(keys.at(-1) ?? 'file', value)
  if (partition === undefined) return false
  session.variables.set(target, deviceOf(partition))
  return true
}

/** They say where to look first; there is but this disk. */
function withoutHints(args: readonly string[]): string[] {
  const isAlone = (arg: string | undefined) => /^--hint[\w-]*$/.test(arg ?? '')
  return args.filter((arg, at) => !arg.startsWith('--hint') && !isAlone(args[at - 1]))
}

const loadEnvironment: Run = async ({ args }, session) => {
  const words = args.filter((arg) => !arg.startsWith('-'))
  const isNamed = args.includes('-f') || args.includes('--file')
  const named = args.find((arg) => arg.startsWith('--file='))?.slice('--file='.length)
  const path = named ?? (isNamed ? words.shift() : `${variable(session, 'prefix')}/grubenv`) ?? ''
  const place = placeOf(path, variable(session, 'root'))
  const text = place ? await session.disk.readText(place, MOST_GRUBENV_BYTES) : undefined
  if (text === undefined) return false
  for (const [name, value] of parseEnvironmentBlock(text)) {
    if (words.length === 0 || words.includes(name)) session.variables.set(name, value)
  }
  return true
}

const goOn: Run = ({ name, args, line }, session) => {
  const place = args[0] ?? (name === 'normal' ? `${variable(session, 'prefix')}/grub.cfg` : '')
  session.next = { place, line }
  session.isOver = true
  return true
}

const menuEntry: Run = ({ name, args, line, block }, session) => {
  const kind = name === 'submenu' ? 'submenu' : 'entry'
  if (block === undefined) throw notUnderstood(line, `a ${name} without a block`)
  const [title = '', ...options] = args
  const id = options.find((_, at) => ['--id', '-i'].includes(options[at - 1] ?? ''))
  const joined = options.find((option) => option.startsWith('--id='))?.slice('--id='.length)
  session.items.push({ title, id: id ?? joined ?? title, line, behind: { kind, script: block } })
  return true
}

/** GRUB's own order: the first folder with an entry counts. */
const blscfg: Run = async ({ line }, session) => {
  const root = variable(session, 'boot') || variable(session, 'root')
  const own = variable(session, 'blsdir')
  for (const path of own === '' ? BLS_FOLDERS : [own]) {
    const folder = placeOf(path, root)
    const entries = folder ? await readBlsEntries(folder, session, line) : []
    for (const entry of entries) {
      const { id, title } = entry
      session.items.push({ id, title, line, behind: { kind: 'bls', entry } })
    }
    if (entries.length > 0) return true
  }
  return false
}

async function readBlsEntries(
  { partition, path }: ImageFile,
  { disk }: Session,
  line: number,
): Promise<BlsEntry[]> {
  const names = (await disk.list({ partition, path })).filter((name) => name.endsWith('.conf'))
  if (names.length > MOST_BLS_ENTRIES) throw notUnderstood(line, `${path} has too many entries`)
  const entries: BlsEntry[] = []
  for (const name of names) {
    const text = await disk.readText({ partition, path: `${path}/${name}` }, MOST_ENTRY_BYTES)
    if (text !== undefined) entries.push(parseBlsEntry(name, text))
  }
  return entries.sort(orderOfGrub)
}

/** Whether the machine's graphics are known to be bad: told of none. */
const hardwareMatch: Run = (_, { variables }) => {
  variables.set('match', '0')
  return true
}

const linux: Run = ({ args, line }, session) => {
  if (args.length === 0) throw notUnderstood(line, 'a kernel without a path')
  session.loaded = { linux: args, root: variable(session, 'root'), initrds: [] }
  return true
}

const initrd: Run = ({ args, line }, { loaded }) => {
  if (!loaded) throw notUnderstood(line, 'an initrd before the kernel')
  loaded.initrds = args
  return true
}

/** Asked for what it can do; the entry that goes to the firmware's own menu starts nothing. */
const firmwareSetup: Run = ({ args, line }) => {
  if (args.includes('--is-supported')) return true
  throw notUnderstood(line, 'the entry leads to the menu of the firmware')
}

const end: Run = (_, session) => {
  session.isOver = true
  return true
}

export const COMMANDS: ReadonlyMap<string, Run> = new Map<string, Run>([
  ...WITHOUT_EFFECT.map((name): [string, Run] => [name, () => true]),
  ['false', () => false],
  ['set', set],
  ['unset', unset],
  ['test', test],
  ['[', test],
  ...['search', 'search.fs_uuid', 'search.fs_label', 'search.file'].map((name): [string, Run] => [
    name,
    search,
  ]),
  ['load_env', loadEnvironment],
  ['configfile', goOn],
  ['normal', goOn],
  ['menuentry', menuEntry],
  ['submenu', menuEntry],
  ['blscfg', blscfg],
  ...['linux', 'linux16', 'linuxefi'].map((name): [string, Run] => [name, linux]),
  ...['initrd', 'initrd16', 'initrdefi'].map((name): [string, Run] => [name, initrd]),
  ['fwsetup', firmwareSetup],
  ['hwmatch', hardwareMatch],
  ['boot', end],
])
