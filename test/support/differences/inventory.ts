// SPDX-License-Identifier: Apache-2.0
// Owns the table of docs/differences.md that compares what the two agents make of the same machines, key by key. Whether a row
// is true is found out by running this agent (test/support/machines/replay.ts); why it is so stands here.
import { type MachineDifference, replayedDifferences } from '../machines/replay.ts'
import { INVENTORY_REASONS, type InventoryReason } from './inventory-reasons.ts'

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

type Reasons = Readonly<Record<string, InventoryReason>>

export async function inventoryTable(): Promise<InventoryTable> {
  return tableOf(await replayedDifferences(), INVENTORY_REASONS)
}

export function tableOf(
  differences: readonly MachineDifference[],
  reasons: Reasons,
): InventoryTable {
  const keys = [...new Set(differences.map(({ key }) => key))].sort()
  const rows = keys.map((key) => {
    const own = differences.filter((each) => each.key === key)
    const [theirs, ours] = [shown(own[0]?.theirs), shown(own[0]?.ours)]
    return { key, places: own.map(placeOf), theirs, ours, why: reasons[key]?.why }
  })
  const idle = Object.keys(reasons).filter((key) => !keys.includes(key))
  return {
    rows,
    faults: [
      ...rows.flatMap((row) => faultsOf(row, reasons[row.key]?.places ?? [])),
      ...idle.map((key) => `${key} differs nowhere any more`),
    ],
  }
}

function placeOf({ machine, member }: MachineDifference): string {
  return member === '' ? machine : `${machine}: ${member}`
}

function faultsOf({ key, places }: InventoryRow, wanted: readonly string[]): string[] {
  const [found, idle] = [
    places.filter((each) => !wanted.includes(each)),
    wanted.filter((each) => !places.includes(each)),
  ]
  return [
    ...found.map((each) => `${key} of ${each} differs without a reason`),
    ...idle.map((each) => `${key} of ${each} differs no more`),
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
