// SPDX-License-Identifier: Apache-2.0
// Owns the tables of docs/differences.md: ironic-python-agent's names beside what this agent's own tables say of them. A name
// that differs without a reason is an error. Does not write the page (test/support/write-docs.ts).
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatValue } from '../../../agent/config/describe.ts'
import type { OptionRow } from '../../../agent/config/option-row.ts'
import { type Config, OPTIONS } from '../../../agent/config/options.ts'
import type { ExtensionDeps } from '../../../agent/deploy/extension-deps.ts'
import { createGenericManager } from '../../../agent/hardware/generic/generic-manager.ts'
import type { StepImplementation, StepKind } from '../../../agent/hardware/manager.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createExtensions } from '../../../extensions/index.ts'
import { inventoryMarkdown } from './inventory.ts'
import {
  IPA_COMMANDS,
  IPA_DRIVER_FIELDS,
  IPA_INTERNAL_FIELDS,
  IPA_OPTIONS,
  IPA_STEPS,
} from './ironic-python-agent.ts'
import { OURS_ALONE, REASONS } from './reasons.ts'

export interface Difference {
  readonly name: string
  readonly theirs: string
  readonly ours: string
  /** Empty where there is no difference. */
  readonly why: string
}

const SAME = 'as IPA'
const PROJECT = join(import.meta.dirname, '../../..')

/** Every table, by its heading. */
export function differences(): ReadonlyMap<string, readonly Difference[]> {
  return new Map([
    ['Kernel parameters and options', optionRows()],
    ['Commands', commandRows()],
    ['Steps and their arguments', stepRows()],
    ['Fields of driver_internal_info', fieldRows(IPA_INTERNAL_FIELDS)],
    ['Fields of driver_info', fieldRows(IPA_DRIVER_FIELDS)],
  ])
}

/** What stands below the marker of the page. */
export async function differencesPage(): Promise<string> {
  const tables = [...differences()].map(([title, rows]) => `\n## ${title}\n\n${tableOf(rows)}`)
  return `${tables.join('')}\n## Inspection, key by key\n\n${INVENTORY_WORDS}\n\n${await inventoryMarkdown()}`
}

/** Of the machines the table says only where the two differ. */
const INVENTORY_WORDS =
  'Both agents on the same six recorded machines (test/support/machines): virtual, NVMe, LUNs by several paths, InfiniBand,\n' +
  'bonded, four NUMA nodes. What is not in the table is the same, key by key: the inventory and what the collectors\n' +
  '`pci-devices`, `usb-devices`, `numa-topology` and `dmi-decode` add. `make record-machines` asks the real\n' +
  'ironic-python-agent anew; docs/design/345-recorded-machines.md says what of the machines is real.'

/**
 * Reasons for names that do not differ, or that nobody has. Not those of options: who builds one need not know this page, which
 * shows no reason then.
 */
export function idleReasons(): string[] {
  const rows = [...differences().values()].flat()
  const used = new Set(rows.filter(({ why }) => why !== '').map(({ name }) => name))
  for (const [name] of IPA_OPTIONS) used.add(name)
  return [...Object.keys(REASONS), ...Object.keys(OURS_ALONE)].filter((name) => !used.has(name))
}

function tableOf(rows: readonly Difference[]): string {
  const lines = rows.map(
    ({ name, theirs, ours, why }) => `| \`${name}\` | ${theirs} | ${ours} | ${why || '–'} |`,
  )
  return [
    '| name | ironic-python-agent | ours | why different |',
    '| --- | --- | --- | --- |',
    ...lines,
  ]
    .map((line) => `${line}\n`)
    .join('')
}

/** What the two have in common, unless there is a reason. */
function row(name: string, theirs: string, ours: string | undefined): Difference {
  const reason = REASONS[name]
  if (ours === SAME) {
    return { name, theirs, ours: reason?.ours ?? SAME, why: reason?.ours ? reason.why : '' }
  }
  const why = reason?.why ?? UNBUILT
  return { name, theirs, ours: reason?.ours ?? ours ?? 'not known', why }
}

/** Of what is accepted and does nothing, a reason is wanted only where it is to stay so. */
const UNBUILT = 'not built yet'

function optionRows(): Difference[] {
  const ours: Readonly<Record<string, OptionRow>> = OPTIONS
  const theirs = IPA_OPTIONS.map(([name, karg, fallback]) =>
    row(name, optionWords(karg, fallback), optionOf(ours[name], fallback)),
  )
  const known = new Set(IPA_OPTIONS.map(([name]) => name))
  const alone = Object.entries(ours)
    .filter(([name]) => !known.has(name))
    .map(([name, { karg, default: fallback, doc }]) => ({
      name,
      theirs: '–',
      ours: optionWords(karg ?? null, formatValue(fallback)),
      why: `ours alone: ${doc}`,
    }))
  return [...theirs, ...alone]
}

function optionWords(karg: string | null, fallback: string): string {
  return [karg === null ? '' : `\`${karg}\``, fallback === '-' ? '' : `\`${fallback}\``]
    .filter((word) => word !== '')
    .join(', ')
    .replace(/^$/, 'nothing by default')
}

function optionOf(option: OptionRow | undefined, fallback: string): string | undefined {
  if (option === undefined) return undefined
  if (option.noEffect) return 'accepted, without effect'
  const own = formatValue(option.default)
  return own === fallback ? SAME : `\`${own}\``
}

function commandRows(): Difference[] {
  // what they are given is asked for when a command runs
  const extensions = createExtensions({} as ExtensionDeps)
  const own = new Set(
    extensions.flatMap(({ name, commands }) =>
      Object.keys(commands).map((command) => `${name}.${command}`),
    ),
  )
  const theirs = IPA_COMMANDS.map((name) => row(name, 'yes', own.has(name) ? SAME : undefined))
  const alone = [...own].filter((name) => !IPA_COMMANDS.includes(name)).map(aloneRow)
  return [...theirs, ...alone]
}

function aloneRow(name: string): Difference {
  return { name, theirs: '–', ours: 'yes', why: OURS_ALONE[name] ?? UNBUILT }
}

/** The steps of this agent as its manager announces them. */
function ownSteps(): readonly StepImplementation[] {
  const defaults = Object.entries(OPTIONS).map(([name, { default: value }]) => [name, value])
  return createGenericManager({
    config: Object.fromEntries(defaults) as Config,
    exec,
    root: createRoot('/'),
    log: createLogger({ level: 'silent' }),
  }).steps
}

const KINDS: readonly StepKind[] = ['clean', 'deploy', 'service']

function stepRows(): Difference[] {
  const steps = ownSteps()
  const names = new Set([...Object.keys(IPA_STEPS), ...steps.map(({ announce }) => announce.step)])
  return [...names].flatMap((name) => {
    const own = steps.filter(({ announce }) => announce.step === name)
    const theirs = IPA_STEPS[name]
    const args = new Set([...(theirs?.args ?? []), ...own.flatMap(({ accepts }) => accepts)])
    const ofArguments = [...args].map((arg) => {
      const place = `${name}(${arg})`
      const isOwn = own.some(({ accepts }) => accepts.includes(arg))
      if (!theirs?.args.includes(arg)) return aloneRow(place)
      return row(place, 'yes', isOwn ? SAME : undefined)
    })
    if (theirs === undefined) return [aloneRow(name), ...ofArguments]
    const priorities = priorityWords((kind) => theirs.priorities[kind])
    const ownPriorities = priorityWords(
      (kind) => own.find(({ kinds }) => kinds.includes(kind))?.announce.priority,
    )
    const ours = own.length === 0 ? undefined : ownPriorities === priorities ? SAME : ownPriorities
    return [row(name, priorities, ours), ...ofArguments]
  })
}

function priorityWords(priorityOf: (kind: StepKind) => number | undefined): string {
  return KINDS.flatMap((kind) => {
    const priority = priorityOf(kind)
    return priority === undefined ? [] : [`${kind} ${priority}`]
  }).join(', ')
}

/** Read here if the agent's code names it. */
function fieldRows(fields: Readonly<Record<string, string>>): Difference[] {
  const code = readdirSync(join(PROJECT, 'agent/hardware'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(PROJECT, 'agent/hardware', name), 'utf8'))
    .join('\n')
  return Object.entries(fields).map(([name, fallback]) =>
    row(
      name,
      fallback === '-' ? 'nothing by default' : `\`${fallback}\``,
      code.includes(`'${name}'`) ? SAME : undefined,
    ),
  )
}
