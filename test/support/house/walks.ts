// SPDX-License-Identifier: Apache-2.0
// Owns reading a walk through the code, as a page shows it, and finding where the code goes another way.
//
// A walk is a list below a heading "The walk of …". `file:function` is a step, the file named by the end of its path. It is called by the step
// before it in the same item, and the first of an item by the last step of the item around it. So items of
// one level are called in turn by the same function. News goes the other way: to who has made the teller.
// "through `file:Type`" before a step says that both know the type alone.
import type { Document } from './document.ts'
import type { House } from './graph.ts'
import { layerOf } from './layers.ts'
import { readSource } from './source-text.ts'

export interface Step {
  /** The end of a path that one file alone has. */
  readonly file: string
  /** A function, or `Type.method`. */
  readonly name: string
  readonly line: number
  readonly caller?: Step
  readonly through?: Step
}

const ITEM = /^( *)(?:[-*]|\d+\.) +/
const STEP = /(through )?`([\w./-]+\.ts):([\w.#]+)`/g

/** The walks of a page by their headings. */
export function walksOf({ text, headings }: Document): Map<string, Step[]> {
  const rows = text.split('\n')
  return new Map(
    headings
      .map(({ text: heading, line }, at) => ({ heading, line, end: headings[at + 1]?.line }))
      .filter(({ heading }) => heading.startsWith('The walk of '))
      .map(({ heading, line, end }) => [heading, stepsOfList(rows.slice(line, end), line + 1)]),
  )
}

/** @param first the line of the page on which the list begins */
function stepsOfList(rows: readonly string[], first: number): Step[] {
  const steps: Step[] = []
  // the items around this one, each with its last step
  let around: { indent: number; last: Step | undefined }[] = []
  for (const { text, line, indent } of itemsOf(rows, first)) {
    around = around.filter((item) => item.indent < indent)
    const found = stepsOf(text, line, around.at(-1)?.last)
    steps.push(...found)
    around.push({ indent, last: found.at(-1) ?? around.at(-1)?.last })
  }
  return steps
}

/** The items of a list, each as one row; its line is the one it begins on. */
function itemsOf(rows: readonly string[], first: number) {
  const items: { text: string; readonly line: number; readonly indent: number }[] = []
  for (const [at, row] of rows.entries()) {
    const indent = ITEM.exec(row)?.[1]?.length
    const item = items.at(-1)
    if (indent !== undefined) items.push({ text: row, line: first + at, indent })
    else if (item !== undefined) item.text += ` ${row.trim()}`
  }
  return items
}

function stepsOf(row: string, line: number, caller: Step | undefined): Step[] {
  const steps: Step[] = []
  let through: Step | undefined
  for (const [, isThrough, file = '', name = ''] of row.matchAll(STEP)) {
    const before = steps.at(-1) ?? caller
    const step = {
      file,
      name,
      line,
      ...(before !== undefined && { caller: before }),
      ...(through !== undefined && { through }),
    }
    through = isThrough === undefined ? undefined : step
    if (through === undefined) steps.push(step)
  }
  return steps
}

/** What a walk must be, as a sentence, and what is against it. */
export const WALKING: Readonly<Record<string, (steps: readonly Step[], house: House) => string[]>> =
  {
    'each function is in its file': (steps, house) =>
      steps
        .flatMap((step) => (step.through === undefined ? [step] : [step, step.through]))
        .filter(({ file, name }) => !declares(house, file, name))
        .map(said),
    'of two files in a row one imports the other, or both the type between them': (steps, house) =>
      steps
        .filter((step) => step.caller !== undefined && !isJoined(step, step.caller, house))
        .map((step) => `${said(step)}, called by ${step.caller?.file}`),
    'no layer calls one above it, but through a type that lies no higher than itself': (
      steps,
      house,
    ) =>
      steps
        .filter(({ file, caller, through = { file } }) =>
          caller === undefined ? false : height(through.file, house) > height(caller.file, house),
        )
        .map((step) => `${said(step)}, called by ${step.caller?.file}`),
  }

function height(file: string, house: House): number {
  return layerOf(pathOf(file, house) ?? '') ?? Number.POSITIVE_INFINITY
}

/** The one file whose path ends like this; undefined if there are none or several. */
function pathOf(end: string, { files }: House): string | undefined {
  const found = files.filter(({ path }) => `/${path}`.endsWith(`/${end}`))
  return found.length === 1 ? found[0]?.path : undefined
}

function isJoined(step: Step, caller: Step, house: House): boolean {
  const joins = (importing: string, imported: string) => {
    const [from, to] = [pathOf(importing, house), pathOf(imported, house)]
    if (from === undefined || from === to) return from !== undefined
    return house.arrows.some((arrow) => arrow.from === from && arrow.to === to)
  }
  const between = step.through?.file
  if (between === undefined) return joins(caller.file, step.file) || joins(step.file, caller.file)
  return joins(caller.file, between) && joins(step.file, between)
}

/** Whether a file declares a function, a type, or a method of one. */
export function declares(house: House, file: string, name: string): boolean {
  const path = pathOf(file, house)
  const text = house.files.find((each) => each.path === path)?.text
  if (text === undefined) return false
  const { code } = readSource(text)
  const [type, method] = name.split('.')
  return DECLARATIONS.some((before) => new RegExp(`${before}${type}\\b`, 'm').test(code))
    ? method === undefined ||
        new RegExp(`^\\s+(?:readonly |async )*${method}\\??[(<:]`, 'm').test(code)
    : method === undefined && new RegExp(methodOf(name), 'm').test(code)
}

const DECLARATIONS: readonly string[] = [
  String.raw`\bfunction\*? `,
  String.raw`\b(?:const|let|class|interface|type) `,
]

/** A method of a literal or class: its parameters are followed by a body, or it is a property with one. */
function methodOf(name: string): string {
  const parameters = String.raw`(?:<[^>]*>)?\((?:[^(){};]|\([^()]*\)|\{[^{}]*\})*\)`
  return String.raw`^\s+(?:async )?(?:${name}${parameters}(?:: [^;={}]+)? \{|${name}: (?:async )?(?:\(|\w+ =>))`
}

function said({ file, name, line }: Step): string {
  return `line ${line}: ${file}:${name}`
}
