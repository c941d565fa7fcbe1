// SPDX-License-Identifier: Apache-2.0
// Owns the rules of the house, each a sentence and a function that finds what breaks it. `make house` and
// test/unit/architecture.test.ts ask the same rules. Does not know the layers; layers.ts does.
import { type Arrow, circlesOf, foldersOf, type House, reachedFrom } from './graph.ts'
import * as table from './layers.ts'
import { moduleStateOf } from './module-state.ts'

/** Whatever a rule found, one line each; none when it holds. */
export type Rule = (house: House) => string[]

const circles: Rule = (house) => circlesOf(house).map((circle) => circle.join(' -> '))

const layers: Rule = (house) => arrowsAgainst(house).map(line)

/** The arrows that lead up, to a sibling, or into a room that has none below it. */
export function arrowsAgainst(house: House): Arrow[] {
  const orders = [table.LAYERS, ...Object.values(table.INNER_LAYERS)]
  return house.arrows.filter((arrow) => orders.some((order) => leadsUp(arrow, order)))
}

function leadsUp({ from, to }: Arrow, order: readonly (readonly string[])[]): boolean {
  const below = table.layerOf(to, order)
  const above = table.layerOf(from, order)
  if (below === undefined || above === undefined) return false
  return table.roomOf(from, order) !== table.roomOf(to, order) && below >= above
}

const homeless: Rule = ({ files }) =>
  files
    .map(({ path }) => path)
    .filter((path) => [table.LAYERS, ...innerOf(path)].some((order) => !table.roomOf(path, order)))

function innerOf(path: string): (readonly (readonly string[])[])[] {
  return Object.entries(table.INNER_LAYERS)
    .filter(([room]) => table.liesIn(path, room))
    .map(([, order]) => order)
}

const meeting: Rule = ({ arrows }) => {
  const rooms = ['agent/disk/', 'agent/sources/']
  const place = (path: string) => rooms.findIndex((room) => path.startsWith(room))
  return arrows
    .filter(({ from, to }) => place(from) >= 0 && place(to) >= 0 && place(from) !== place(to))
    .map(line)
}

const extensions: Rule = ({ arrows }) =>
  arrows
    .filter(({ from, to }) => to.startsWith('extensions/') && !from.startsWith('extensions/'))
    .filter(({ from }) => from !== table.PROGRAM)
    .map(line)

const homes: Rule = ({ arrows }) =>
  arrows
    .filter(({ to }) => !/^(?:node:|\.|(?:agent|extensions|image-build|test)\/)/.test(to))
    .filter(({ from, to }) => {
      const name = Object.keys(table.HOMES).find((home) => table.liesIn(to, home))
      const places = name === undefined ? [] : (table.HOMES[name] ?? [])
      return !places.some((home) => (home.endsWith('/') ? from.startsWith(home) : from === home))
    })
    .map(line)

const purity: Rule = ({ arrows }) =>
  arrows
    .filter(({ from, to }) => from.startsWith('agent/core/') && !to.startsWith('agent/core/'))
    .map(line)

/** What nobody imports is a program or a thread: what it keeps is nobody else's. */
const state: Rule = ({ files, arrows }) => {
  const isShared = (path: string) => arrows.some(({ to, isWorker }) => to === path && !isWorker)
  const found = files
    .filter(({ path }) => !path.startsWith('image-build/') && isShared(path))
    .flatMap(({ path, text }) => moduleStateOf(text).map((kept) => ({ path, ...kept })))
  const names = found.map(({ path, name }) => `${path}:${name}`)
  return [
    ...found
      .filter(({ path, name }) => !Object.hasOwn(table.PERMITTED_STATE, `${path}:${name}`))
      .map(({ path, name, line: at }) => `${path}:${at}: ${name}`),
    ...Object.keys(table.PERMITTED_STATE)
      .filter((name) => files.some(({ path }) => name.startsWith(`${path}:`)))
      .filter((name) => !names.includes(name))
      .map((name) => `${name} is permitted, and keeps nothing`),
  ]
}

const dead: Rule = (house) => {
  const reached = reachedFrom(table.PROGRAM, house)
  return house.files
    .map(({ path }) => path)
    .filter((path) => !path.startsWith('image-build/') && !path.endsWith('.d.ts'))
    .filter((path) => !table.liesIn(path, table.LOADED_BY_NAME))
    .filter((path) => !reached.has(path))
}

const folderSize: Rule = (house) =>
  [...foldersOf(house)]
    .filter(([, files]) => files.length > table.MOST_FILES_OF_A_FOLDER)
    .map(([folder, files]) => `${folder}: ${files.length} files`)

const fileLength: Rule = ({ files }) =>
  files
    .filter(({ lines }) => lines > table.MOST_LINES_OF_A_FILE)
    .map(({ path, lines }) => `${path}: ${lines} lines`)

/** The sentences a test says, and what breaks them. */
export const RULES: Readonly<Record<string, Rule>> = {
  'no files import each other in a circle, by types or at run time either': circles,
  'layers import downward only, and siblings do not import each other': layers,
  'every source file lies in a room': homeless,
  'disk and sources meet only in core': meeting,
  'only main.ts imports extensions': extensions,
  'each package has one home': homes,
  'core touches no I/O: it imports nothing but itself': purity,
  'no module keeps state': state,
  'every file of the agent is reached from main.ts': dead,
  [`no folder holds more than ${table.MOST_FILES_OF_A_FOLDER} files`]: folderSize,
  [`no file is longer than ${table.MOST_LINES_OF_A_FILE} lines`]: fileLength,
}

function line({ from, to, line: at }: Arrow): string {
  return `${from}:${at} -> ${to}`
}
