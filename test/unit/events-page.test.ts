import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { EVENT_TABLE } from '../../agent/core/event-table.ts'

const PAGE = 'docs/design/110-event-stream.md'

const namesOf = (paths: readonly string[]) =>
  paths.map((path) => `\`${path.replace('agent/', '')}\``).join(', ') || '—'

describe('the vocabulary of events', () => {
  test('is documented as it is: each type with its fields, its publishers and its subscribers', () => {
    const rows = Object.entries(EVENT_TABLE).map(([type, row]) => {
      const fields = Object.entries(row.fields).map(([name, says]) => `\`${name}\`: ${says}`)
      const cells = [
        `\`${type}\`: ${row.says}`,
        fields.join('; '),
        row.keeps,
        namesOf(row.publishedBy),
        namesOf(row.readBy),
      ]
      return `| ${cells.join(' | ')} |`
    })
    const documented = readFileSync(PAGE, 'utf8').match(/^\| `\w+`: .*\|$/gm)
    expect(documented).toEqual(rows)
  })

  test.each(Object.entries(EVENT_TABLE))('%s is published and read where it says', (type, row) => {
    expect(row.publishedBy.length).toBeGreaterThan(0)
    for (const path of row.publishedBy) {
      expect(readFileSync(path, 'utf8'), path).toContain(`type: '${type}'`)
    }
    for (const path of row.readBy) {
      const text = readFileSync(path, 'utf8')
      expect(text, path).toContain('.subscribe(')
      expect(text, path).toMatch(new RegExp(`event\\.type [!=]== '${type}'`))
    }
  })
})
