// SPDX-License-Identifier: Apache-2.0
// Owns `make docs`: writes the generated parts of docs/ anew, each after its marker line. What is written
// by hand around them stays. Unit tests say when a page has fallen behind.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { configurationTable } from '../../agent/config/describe.ts'
import { metricsTable } from '../../agent/telemetry/metrics/table.ts'
import { differencesPage } from './differences/table.ts'

const DOCS = join(import.meta.dirname, '../../docs')

interface GeneratedPart {
  readonly page: string
  readonly marker: string
  readonly content: () => string | Promise<string>
}

const PARTS: readonly GeneratedPart[] = [
  { page: 'configuration.md', marker: '<!-- option table -->\n', content: configurationTable },
  { page: 'differences.md', marker: '<!-- differences -->\n', content: differencesPage },
  { page: 'metrics.md', marker: '<!-- metrics -->\n', content: metricsTable },
]

for (const { page, marker, content } of PARTS) {
  const path = join(DOCS, page)
  const before = await readFile(path, 'utf8')
  const at = before.indexOf(marker)
  if (at < 0) throw new Error(`docs/${page} has no line ${marker.trim()}`)
  const after = `${before.slice(0, at + marker.length)}${await content()}`
  if (after !== before) await writeFile(path, after)
  console.log(`docs/${page}: ${after === before ? 'up to date' : 'written'}`)
}
