// SPDX-License-Identifier: Apache-2.0
// Owns the file of container steps of a ramdisk (contract 7.9): read, and every step looked at. It is YAML as
// ironic-python-agent's documentation writes it, a list of flat mappings, or JSON. Does not run anything.
import { AgentError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'

/** A step that whoever built the ramdisk wrote. */
export interface ContainerStep {
  readonly name: string
  readonly image: string
  readonly interface: string
  readonly priority: number
  readonly rebootRequested: boolean
  readonly abortable: boolean
  /** Undefined: those of the configuration. */
  readonly pullOptions: readonly string[] | undefined
  readonly runOptions: readonly string[] | undefined
}

const NAME = /^[A-Za-z]\w{0,63}$/

/** The steps of the text. @throws AgentError HardwareManagerConfigurationError: what is wrong, and where */
export function parseContainerSteps(text: string, path: string): ContainerStep[] {
  const data = text.trimStart().startsWith('{') ? parseJson(text, path) : parseYaml(text, path)
  if (data === null) return []
  if (!isObject(data)) throw wrong(path, 'it must be a mapping with the key steps')
  const steps = data['steps'] ?? []
  if (!Array.isArray(steps)) throw wrong(path, 'steps must be a list')
  const parsed = steps.map((step: unknown, i) => parseStep(step, `${path}, step ${i + 1}`))
  const twice = parsed.find(({ name }, i) => parsed.findIndex((one) => one.name === name) < i)
  if (twice) throw wrong(path, `there are two steps ${twice.name}`)
  return parsed
}

function parseStep(step: unknown, at: string): ContainerStep {
  if (!isObject(step)) throw wrong(at, 'it must be a mapping')
  const text = (key: string) => {
    const value = step[key]
    if (typeof value === 'string' && value !== '') return value
    throw wrong(at, `${key} is missing or no text`)
  }
  const flag = (key: string) => {
    const value = step[key]
    if (typeof value === 'boolean') return value
    throw wrong(at, `${key} is missing or neither true nor false`)
  }
  const name = text('name')
  if (!NAME.test(name)) throw wrong(at, `the name ${name} is not of letters, digits and _`)
  const priority = step['priority']
  if (!Number.isSafeInteger(priority) || Number(priority) < 0) {
    throw wrong(at, 'priority is missing or no whole number from 0')
  }
  return {
    name,
    image: text('image'),
    interface: text('interface'),
    priority: Number(priority),
    rebootRequested: flag('reboot_requested'),
    abortable: flag('abortable'),
    pullOptions: optionsAt(step, 'pull_options', at),
    runOptions: optionsAt(step, 'run_options', at),
  }
}

function optionsAt(step: JsonObject, key: string, at: string): readonly string[] | undefined {
  const value = step[key]
  if (value === undefined || value === null) return undefined
  const words = wordsOf(value)
  if (words !== undefined) return words
  throw wrong(at, `${key} must be text or a list of texts`)
}

/** A program's arguments: blanks separate, also within the entries of a list. Undefined for any other value. */
export function wordsOf(value: unknown): readonly string[] | undefined {
  const items = typeof value === 'string' ? [value] : value
  if (!Array.isArray(items) || !items.every((item) => typeof item === 'string')) return undefined
  return items.flatMap((item: string) => item.split(/\s+/).filter((word) => word !== ''))
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw wrong(path, `no JSON: ${(error as Error).message}`)
  }
}

interface Line {
  readonly number: number
  readonly indent: number
  readonly text: string
}

/** Mappings of scalars, lists of them, and lists of mappings: what such a file needs, and no more of YAML. */
function parseYaml(text: string, path: string): unknown {
  const lines = text.split(/\r?\n/).flatMap((line, i): Line[] => {
    const bare = line.replace(/(^|\s)#.*$/, '').trimEnd()
    if (bare.trim() === '' || bare === '---') return []
    if (/^\s*\t/.test(bare)) throw wrong(`${path}, line ${i + 1}`, 'tabs do not indent in YAML')
    const indent = bare.length - bare.trimStart().length
    return [{ number: i + 1, indent, text: bare.trimStart() }]
  })
  if (lines.length === 0) return null
  const cursor = { at: 0 }
  const value = parseBlock(lines, cursor, path)
  const rest = lines[cursor.at]
  if (rest) throw wrong(`${path}, line ${rest.number}`, 'it is not indented as what is above it')
  return value
}

type Cursor = { at: number }

function parseBlock(lines: Line[], cursor: Cursor, path: string): unknown {
  const first = lines[cursor.at] as Line
  return /^- ?/.test(first.text) && (first.text === '-' || first.text.startsWith('- '))
    ? parseList(lines, cursor, first.indent, path)
    : parseMapping(lines, cursor, first.indent, path)
}

function parseList(lines: Line[], cursor: Cursor, indent: number, path: string): unknown[] {
  const list: unknown[] = []
  for (let line = lines[cursor.at]; line?.indent === indent; line = lines[cursor.at]) {
    if (!line.text.startsWith('- ')) break
    const text = line.text.slice(2).trimStart()
    if (!isKeyed(text)) {
      list.push(parseScalar(text, line, path))
      cursor.at++
      continue
    }
    // the rest of the line is the first key of a mapping, as deep as it stands there
    const inner = indent + line.text.length - text.length
    lines[cursor.at] = { ...line, indent: inner, text }
    list.push(parseMapping(lines, cursor, inner, path))
  }
  return list
}

function parseMapping(lines: Line[], cursor: Cursor, indent: number, path: string): JsonObject {
  const mapping: JsonObject = Object.create(null)
  for (let line = lines[cursor.at]; line?.indent === indent; line = lines[cursor.at]) {
    const match = /^([\w-]+):(?:\s+(.*))?$/.exec(line.text)
    if (!match) break
    const [, key = '', rest = ''] = match
    if (key in mapping) throw wrong(`${path}, line ${line.number}`, `${key} is there twice`)
    cursor.at++
    const next = lines[cursor.at]
    const isList = next?.indent === indent && next.text.startsWith('- ')
    if (rest !== '') mapping[key] = parseScalar(rest, line, path)
    else if (next && (next.indent > indent || isList))
      mapping[key] = parseBlock(lines, cursor, path)
    else mapping[key] = null
  }
  return mapping
}

function isKeyed(text: string): boolean {
  return /^[\w-]+:(\s|$)/.test(text)
}

function parseScalar(text: string, { number }: Line, path: string): unknown {
  const at = `${path}, line ${number}`
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(text)
    ? parseJson(text, at)
    : /^'(.*)'$/.exec(text)?.[1]
  if (typeof quoted === 'string')
    return text.startsWith("'") ? quoted.replaceAll("''", "'") : quoted
  if (/^\[.*\]$/.test(text)) {
    const items = text.slice(1, -1).trim()
    if (items === '') return []
    return items
      .split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/)
      .map((item) => parseScalar(item.trim(), { number, indent: 0, text }, path))
  }
  if (/^[[{&*!|>%@`"']/.test(text)) {
    throw wrong(at, `YAML of this kind is not read here, ${text.slice(0, 20)}; write it as JSON`)
  }
  if (/^(true|yes|on)$/i.test(text)) return true
  if (/^(false|no|off)$/i.test(text)) return false
  if (/^(null|~)$/i.test(text)) return null
  return /^\d{1,9}$/.test(text) ? Number(text) : text
}

function wrong(at: string, details: string): AgentError {
  return new AgentError('HardwareManagerConfigurationError', `${at}: ${details}`)
}
