// SPDX-License-Identifier: Apache-2.0
// Owns what inject_files is asked for, as a value: files of the node's properties and of the step, with
// ironic-python-agent's names (contract 7.2). Does not write any.
import { AgentError } from '../../core/errors.ts'
import { isObject, type JsonObject, objectAt } from '../../core/json.ts'

export interface InjectedFile {
  /** Absolute, in its file system. */
  readonly path: string
  /** Number on the root disk, or a name of one of its partitions; null: the one that has the path's first folder. */
  readonly partition: number | string | null
  /** Null: the file is to go. */
  readonly content: { readonly bytes: Buffer } | { readonly url: string } | null
  readonly mode: number | undefined
  /** Of the last folder, where it has to be made. */
  readonly dirMode: number | undefined
  /** Numbers; undefined leaves it to root. */
  readonly owner: number | undefined
  readonly group: number | undefined
}

const FIELDS = ['path', 'partition', 'content', 'deleted', 'mode', 'dirmode', 'owner', 'group']
const MOST_MODE = 0o7777
const MOST_ID = 2 ** 32 - 2

/**
 * Those of `properties.inject_files`, then those of the argument. Throws InvalidCommandParamsError that names all that
 * is wrong; it quotes no content.
 */
export function parseInjectedFiles(
  node: JsonObject,
  ports: readonly JsonObject[],
  argument: unknown,
): InjectedFile[] {
  const given = [
    ...listOf('the node property inject_files', objectAt(node, 'properties')['inject_files']),
    ...listOf('the argument files', argument),
  ]
  const failures: string[] = []
  const files = given.flatMap((value, i) => {
    const wrong = faultsOf(value)
    failures.push(...wrong.map((fault) => `file ${i + 1}: ${fault}`))
    return wrong.length === 0 ? [fileOf(value as JsonObject, { node, ports })] : []
  })
  if (failures.length === 0) return files
  throw invalid(`inject_files: ${failures.join('; ')}`)
}

function listOf(what: string, value: unknown): unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw invalid(`${what} must be a list of files`)
}

function faultsOf(value: unknown): string[] {
  if (!isObject(value)) return ['it is no object']
  const unknown = Object.keys(value).filter((key) => !FIELDS.includes(key))
  return [
    ...(unknown.length > 0 ? [`unknown fields ${unknown.join(', ')}`] : []),
    ...placeFaults(value),
    ...contentFaults(value),
    ...numberFaults(value, ['mode', 'dirmode'], MOST_MODE),
    ...numberFaults(value, ['owner', 'group'], MOST_ID),
  ]
}

function placeFaults({ path, partition }: JsonObject): string[] {
  if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0')) {
    return ['path must be an absolute path']
  }
  if (path.endsWith('/')) return [`${path} is a folder`]
  const names = path.split('/').filter((part) => part !== '')
  if (names.includes('.') || names.includes('..')) return [`${path} has . or .. in it`]
  if (partition === undefined || partition === null || partition === '') {
    return names.length > 1 ? [] : [`${path} needs a partition`]
  }
  if (typeof partition === 'string' || isWhole(partition, 1, 1024)) return []
  return ['partition must be a number from 1 on or a name']
}

function contentFaults({ content, deleted }: JsonObject): string[] {
  if (deleted !== undefined && typeof deleted !== 'boolean') return ['deleted must be a boolean']
  if (deleted) return content ? ['content and deleted exclude each other'] : []
  return isContent(content) ? [] : ['content must be a url or base64']
}

function isContent(content: unknown): boolean {
  if (typeof content !== 'string') return false
  return content.includes('://') || /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(content)
}

function numberFaults(value: JsonObject, keys: readonly string[], most: number): string[] {
  return keys
    .filter((key) => value[key] !== undefined && !isWhole(value[key], 0, most))
    .map((key) => `${key} must be a number from 0 to ${most}`)
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
}

interface Named {
  readonly node: JsonObject
  readonly ports: readonly JsonObject[]
}

function fileOf(value: JsonObject, named: Named): InjectedFile {
  const number = (key: string) => value[key] as number | undefined
  return {
    path: value['path'] as string,
    partition: partitionOf(value['partition']),
    content: value['deleted'] === true ? null : contentOf(value['content'] as string, named),
    mode: number('mode'),
    dirMode: number('dirmode'),
    owner: number('owner'),
    group: number('group'),
  }
}

function partitionOf(value: unknown): number | string | null {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || value === '') return null
  return /^\d+$/.test(value) ? Number(value) : value
}

function contentOf(content: string, named: Named): { bytes: Buffer } | { url: string } {
  if (!content.includes('://')) return { bytes: Buffer.from(content, 'base64') }
  return { url: fillIn(content, named) }
}

/** Python's format strings, as far as they name what a node and its ports have: `{node[uuid]}`, `{ports[0][address]}`. */
function fillIn(url: string, named: Named): string {
  return url.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (braces, field: string | undefined) => {
    if (field === undefined) return braces[0] as string
    const [, first = '', keys = ''] = /^(node|ports)((?:\[[^[\]]+\])+)$/.exec(field) ?? []
    let value: unknown = Object.hasOwn(named, first) ? named[first as keyof Named] : undefined
    for (const [, key = ''] of keys.matchAll(/\[([^[\]]+)\]/g)) {
      const isOwn = typeof value === 'object' && value !== null && Object.hasOwn(value, key)
      value = isOwn ? (value as Record<string, unknown>)[key] : undefined
    }
    if (typeof value === 'string' || typeof value === 'number') return String(value)
    throw invalid(`inject_files: a url names ${braces}, which this node has not`)
  })
}

function invalid(message: string): AgentError {
  return new AgentError('InvalidCommandParamsError', message)
}
