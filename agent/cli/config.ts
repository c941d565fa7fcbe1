// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm config`: every option with its value and where that comes from.
import type { Command } from 'commander'
import { configurationTable, describeConfig, formatValue } from '../config/describe.ts'
import { type CommandLine, openContext } from './command-line.ts'

/** Prints the table, or one JSON object with --json, or docs/configuration.md's table with --markdown. */
export async function runConfig(line: CommandLine, command: Command): Promise<void> {
  if (command.getOptionValue('markdown')) {
    line.stdout.write(configurationTable())
    return
  }
  const { loaded } = await openContext(line, command, { reader: 'person' })
  const rows = describeConfig(loaded)
  if (command.getOptionValue('json')) {
    const entries = rows.map(({ name, value, origin }) => [name, { value, origin }])
    line.stdout.write(`${JSON.stringify(Object.fromEntries(entries))}\n`)
    return
  }
  const nameWidth = Math.max(...rows.map(({ name }) => name.length))
  const valueWidth = Math.min(40, Math.max(...rows.map(({ value }) => formatValue(value).length)))
  for (const { name, value, origin } of rows) {
    const columns = [name.padEnd(nameWidth), formatValue(value).padEnd(valueWidth), origin]
    line.stdout.write(`${columns.join('  ')}\n`)
  }
}
