// SPDX-License-Identifier: Apache-2.0
// Owns the files of the project and the arrows between them, one for each import. Does not judge them.
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { importsOf, targetOf } from './imports.ts'

export interface SourceFile {
  /** From the project's root. */
  readonly path: string
  readonly text: string
  readonly lines: number
}

export interface Arrow {
  readonly from: string
  /** A path from the root, or a package as the import names it. */
  readonly to: string
  readonly line: number
  readonly isWorker: boolean
}

export interface House {
  readonly files: readonly SourceFile[]
  readonly arrows: readonly Arrow[]
}

/** The house of these texts, by path. */
export function houseOf(texts: Readonly<Record<string, string>>): House {
  const files = Object.entries(texts).map(([path, text]) => ({ path, text, lines: linesOf(text) }))
  const arrows = files.flatMap(({ path, text }) =>
    importsOf(text).map(({ specifier, line, isWorker }) => ({
      from: path,
      to: targetOf(path, specifier),
      line,
      isWorker,
    })),
  )
  return { files, arrows }
}

/** Reads the TypeScript files below these folders of the working directory. */
export function readHouse(folders: readonly string[]): House {
  return houseOf(
    Object.fromEntries(
      folders
        .flatMap(typescriptBelow)
        .sort()
        .map((path) => [path, readFileSync(path, 'utf8')]),
    ),
  )
}

/** The TypeScript files below a folder. */
export function typescriptBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
    .map((name) => posix.join(folder, name))
}

export function linesOf(text: string): number {
  return text.split('\n').length - 1
}

/** Files by the folder they lie in. */
export function foldersOf(house: House): Map<string, SourceFile[]> {
  return Map.groupBy(house.files, ({ path }) => posix.dirname(path))
}

/**
 * The circles: sets of files each of which reaches the others, each as one shortest way round it that
 * begins and ends with the same file.
 */
export function circlesOf(house: House): string[][] {
  const next = nextOf(house)
  const done = new Set<string>()
  const circles: string[][] = []
  for (const { path } of house.files) {
    if (done.has(path)) continue
    const way = wayRound(path, next)
    if (way === undefined) continue
    circles.push(way)
    // whoever lies on any way from here back to here belongs to this circle
    for (const other of reachable(path, next)) {
      if (reachable(other, next).has(path)) done.add(other)
    }
  }
  return circles
}

/** The files of the house that a file leads to, itself among them. */
export function reachedFrom(start: string, house: House): Set<string> {
  return reachable(start, nextOf(house))
}

/** The shortest way from a file back to itself. */
function wayRound(
  start: string,
  next: ReadonlyMap<string, readonly string[]>,
): string[] | undefined {
  const cameFrom = new Map<string, string>()
  const queue = [start]
  for (const file of queue) {
    for (const to of next.get(file) ?? []) {
      if (to === start) return [...backFrom(file, cameFrom), start]
      if (cameFrom.has(to)) continue
      cameFrom.set(to, file)
      queue.push(to)
    }
  }
  return undefined
}

function nextOf({ files, arrows }: House): Map<string, string[]> {
  const known = new Set(files.map(({ path }) => path))
  const next = new Map<string, string[]>()
  for (const { from, to } of arrows) {
    if (known.has(to)) next.set(from, [...(next.get(from) ?? []), to])
  }
  return next
}

function backFrom(end: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const way: string[] = []
  for (let at: string | undefined = end; at !== undefined; at = cameFrom.get(at)) way.unshift(at)
  return way
}

function reachable(start: string, next: ReadonlyMap<string, readonly string[]>): Set<string> {
  const seen = new Set([start])
  for (const file of seen) for (const to of next.get(file) ?? []) seen.add(to)
  return seen
}
