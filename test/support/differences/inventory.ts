// SPDX-License-Identifier: Apache-2.0
// Owns the table of docs/differences.md that compares what the two agents make of the same machines, key by key. Whether a row
// is true is found out by running this agent (test/support/machines/replay.ts); why it is so stands here.
import { type MachineDifference, replayedDifferences } from '../machines/replay.ts'
import { INVENTORY_REASONS } from './inventory-reasons.ts'

export interface InventoryRow {
  readonly key: string
  /** Where the two differ: `bonded: ens1f0`. */
  readonly places: readonly string[]
  /** Of the first place, as JSON. */
  readonly theirs: string
  readonly ours: string
  /** Undefined where nobody has said it. */
  readonly why: string | undefined
}

export interface InventoryTable {
  readonly rows: readonly InventoryRow[]
  /** Places that differ and have no row, and rows that name a place where the two are one. */
  readonly faults: readonly string[]
}

export async function inventoryTable(): Promise<InventoryTable> {
  const differences = await replayedDifferences()
  const keys = [...new Set(differences.map(({ key }) => key))].sort()
  const rows = keys.map((key) =>
    rowOf(
      key,
      differences.filter((each) => each.key === key),
    ),
  )
  const idle = Object.keys(INVENTORY_REASONS).filter((key) => !keys.includes(key))
  return {
    rows,
    faults: [...rows.flatMap(faultsOf), ...idle.map((key) => `${key} differs nowhere any more`)],
  }
}

function rowOf(key: string, differences: readonly MachineDifference[]): InventoryRow {
  const first = differences[0]
  return {
    key,
    places: differences.map(placeOf),
    theirs: shown(first?.theirs),
    ours: shown(first?.ours),
    why: INVENTORY_REASONS[key]?.why,
  }
}

function placeOf({ machine, member }: MachineDifference): string {
  return member === '' ? machine : `${machine}: ${member}`
}

function faultsOf({ key, places }: InventoryRow): string[] {
  const wanted = INVENTORY_REASONS[key]?.places ?? []
  return [
    ...places
      .filter((each) => !wanted.includes(each))
      .map((each) => `${key} of ${each} differs without a reason`),
    ...wanted
      .filter((each) => !places.includes(each))
      .map((each) => `${key} of ${each} differs no more`),
  ]
}

const MAX_CHARS = 90

function shown(value: unknown): string {
  if (value === undefined) return 'not there'
  const text = JSON.stringify(value)
  const short = text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}…` : text
  return `\`${short.replaceAll('|', '\\|')}\``
}

/** `bonded: bond0, bond0.100; four-nodes`. */
function grouped(places: readonly string[]): string {
  const members = new Map<string, string[]>()
  for (const place of places) {
    const [machine = '', member] = place.split(': ')
    members.set(machine, [
      ...(members.get(machine) ?? []),
      ...(member === undefined ? [] : [member]),
    ])
  }
  return [...members]
    .map(([machine, names]) => (names.length === 0 ? machine : `${machine}: ${names.join(', ')}`))
    .join('; ')
}

/** As Markdown; each row says on which machines. */
export async function inventoryMarkdown(): Promise<string> {
  const { rows } = await inventoryTable()
  const lines = rows.map(
    ({ key, places, theirs, ours, why }) =>
      `| \`${key}\` | ${theirs} | ${ours} | ${why ?? '?'} (${grouped(places)}) |\n`,
  )
  return [
    '| key | ironic-python-agent | ours | why different |\n',
    '| --- | --- | --- | --- |\n',
    ...lines,
  ].join('')
}
