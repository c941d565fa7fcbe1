// SPDX-License-Identifier: Apache-2.0
// Owns following a grub.cfg to the entry that GRUB starts when nobody presses a key. A menu is a stranger's: it has a
// bounded number of steps, and what is not understood ends it.
import type { BlsEntry } from '../bls.ts'
import { type BootEntry, cannotFollow, type ImageFile, notUnderstood } from '../boot-entry.ts'
import { COMMANDS } from './commands.ts'
import { deviceOf, type MenuDisk, placeOf, withLimits } from './place.ts'
import { type Choice, type Command, parseScript, type Script } from './script.ts'
import {
  boundedValues,
  createSession,
  expandWords,
  type MenuItem,
  type Session,
  variable,
} from './session.ts'

/** A menu of a hundred kernels has a tenth of it. */
const MOST_MENU_BYTES = 1024 * 1024
/** Of menus that lead to each other, and of submenus. */
const MOST_HOPS = 12
const MOST_CALLS = 16

/**
 * What GRUB would start, by `menu`. Throws InvalidImage, with the line, for what it does not understand, and where
 * nothing is started.
 */
export async function followMenu(
  menu: ImageFile,
  disk: MenuDisk,
  firmware: 'uefi' | 'bios',
): Promise<BootEntry> {
  const session = createSession(withLimits(disk), firmware)
  session.variables.set('root', deviceOf(menu.partition))
  session.variables.set('prefix', folderOf(menu))
  let script = parseScript(await readMenu(session, menu))
  let title = ''
  let wanted: string | undefined
  for (let hop = 0; hop < MOST_HOPS; hop++) {
    const isInEntry = title !== ''
    session.items = []
    session.next = undefined
    session.isOver = false
    await runScript(script, session, { positional: [], depth: 0 })
    if (session.next) {
      script = parseScript(await readMenu(session, whereNext(session)))
      title = ''
      continue
    }
    if (session.loaded && (isInEntry || session.isOver)) return entryOf(title, session)
    wanted ??= variable(session, 'default')
    const [item, rest] = choose(session.items, wanted)
    if (item === undefined) throw cannotFollow('the menu starts nothing')
    wanted = rest
    title = item.title
    session.variables.set('chosen', item.id)
    if (item.behind.kind === 'bls') return blsEntryOf(item.behind.entry, item, session)
    script = item.behind.script
    if (item.behind.kind === 'submenu') title = ''
  }
  throw cannotFollow(`the menu leads on and on, more than ${MOST_HOPS} times`)
}

/** `(hd0,gpt1)/boot/grub` */
function folderOf({ partition, path }: ImageFile): string {
  return `(${deviceOf(partition)})${path.replace(/\/[^/]*$/, '')}`
}

function whereNext(session: Session): ImageFile {
  const { place = '', line = 0 } = session.next ?? {}
  const file = placeOf(place, variable(session, 'root'))
  if (file) return file
  throw notUnderstood(line, `the menu "${place}" is not on this disk`)
}

async function readMenu({ disk, variables }: Session, file: ImageFile): Promise<string> {
  variables.set('config_directory', folderOf(file))
  const text = await disk.readText(file, MOST_MENU_BYTES)
  if (text !== undefined) return text
  throw cannotFollow(`there is no ${file.path} on partition ${file.partition}`)
}

interface Frame {
  /** `$1` and so on of the function. */
  readonly positional: readonly string[]
  readonly depth: number
}

async function runScript(script: Script, session: Session, frame: Frame): Promise<boolean> {
  let status = true
  for (const statement of script) {
    if (session.isOver) return status
    if (session.steps-- <= 0) throw notUnderstood(statement.line, 'the menu does not end')
    if (statement.kind === 'function') session.functions.set(statement.name, statement.body)
    else if (statement.kind === 'if') status = await runChoice(statement, session, frame)
    else status = await runCommand(statement, session, frame)
    session.variables.set('?', status ? '0' : '1')
  }
  return status
}

async function runChoice(choice: Choice, session: Session, frame: Frame): Promise<boolean> {
  for (const { condition, body } of choice.branches) {
    if (await runScript(condition, session, frame)) return await runScript(body, session, frame)
    if (session.isOver) return false
  }
  return await runScript(choice.otherwise, session, frame)
}

async function runCommand(command: Command, session: Session, frame: Frame): Promise<boolean> {
  const { line, words, block } = command
  const [name, ...args] = expandWords(session, words, frame.positional, line)
  if (name === undefined) return true
  const assigned = /^([A-Za-z_]\w*)=(.*)$/s.exec(name)
  if (assigned && args.length === 0) {
    session.variables.set(assigned[1] ?? '', assigned[2] ?? '')
    return true
  }
  const body = session.functions.get(name)
  if (body) {
    return await runScript(body, session, { positional: [name, ...args], ...deeper(frame, line) })
  }
  if (name === 'source' || name === '.') {
    const place = placeOf(args[0] ?? '', variable(session, 'root'))
    const text = place ? await session.disk.readText(place, MOST_MENU_BYTES) : undefined
    if (text === undefined) return false
    return await runScript(parseScript(text), session, { ...frame, ...deeper(frame, line) })
  }
  const run = COMMANDS.get(name)
  if (!run) throw notUnderstood(line, `the command "${name.slice(0, 40)}" is not followed`)
  return await run({ name, args, line, block }, session)
}

function deeper({ depth }: Frame, line: number): { depth: number } {
  if (depth >= MOST_CALLS) throw notUnderstood(line, 'functions call each other too often')
  return { depth: depth + 1 }
}

/** The item that `default` names, and what it says of the submenu behind; the first where it names none. */
function choose(items: readonly MenuItem[], wanted: string): [MenuItem | undefined, string] {
  const [, head = '', rest = ''] = /^((?:[^>]|>>)*)(?:>(?!>)(.*))?$/s.exec(wanted) ?? []
  const name = head.replaceAll('>>', '>')
  const byNumber = /^\d+$/.test(name) ? items[Number(name)] : undefined
  const byName = items.find(({ title, id }) => name === id || name === title)
  return [byNumber ?? byName ?? items[0], rest]
}

function entryOf(title: string, session: Session): BootEntry {
  const { loaded } = session
  if (!loaded) throw cannotFollow('the menu loads no kernel')
  const { root, linux, initrds } = loaded
  const [path = '', ...args] = linux
  return {
    title,
    kernel: fileAt(path, root),
    initrds: initrds.map((initrd) => fileAt(initrd, root)),
    commandLine: [`BOOT_IMAGE=${path}`, ...args.map(quoted)].join(' '),
  }
}

/** GRUB puts its variables' values into the options and initrds: `$kernelopts`, `$tuned_initrd`. */
function blsEntryOf(entry: BlsEntry, { line }: MenuItem, session: Session): BootEntry {
  const { id, linux, needs } = entry
  if (needs !== undefined || linux === undefined) {
    throw notUnderstood(line, `the entry ${id} needs ${needs ?? 'a kernel that it does not name'}`)
  }
  const bounded = boundedValues(line)
  const expand = (text: string) =>
    text.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, plain?: string) =>
      bounded(variable(session, braced ?? plain ?? '')),
    )
  const root = variable(session, 'boot') || variable(session, 'root')
  const initrds = entry.initrds.flatMap((initrd) => expand(initrd).split(/\s+/)).filter(Boolean)
  return {
    title: entry.title,
    kernel: fileAt(linux, root),
    initrds: initrds.map((initrd) => fileAt(initrd, root)),
    commandLine: `BOOT_IMAGE=${linux} ${expand(entry.options)}`.trim(),
  }
}

function fileAt(path: string, root: string): ImageFile {
  const file = placeOf(path, root)
  if (file) return file
  throw cannotFollow(`"${path}" is not on this disk`)
}

/** As GRUB writes an argument with white space. */
function quoted(arg: string): string {
  return /\s/.test(arg) ? `"${arg}"` : arg
}
