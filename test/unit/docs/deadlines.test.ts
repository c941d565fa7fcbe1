// docs/deadlines.md names every option that says how long something may take.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { OPTIONS } from '../../../agent/config/options.ts'

const PAGE = readFileSync('docs/deadlines.md', 'utf8')

/** Say when something is done, not how long it is waited for, or have no effect yet. */
const NO_WAIT: readonly string[] = ['introspection_daemon_post_interval', 'swarm_seed_time']

const waits = Object.keys(OPTIONS).filter(
  (name) =>
    /timeout|duration|delay|_time$|attempts|retries|interval/.test(name) && !NO_WAIT.includes(name),
)

test('there are options of that kind', () => {
  expect(waits).toContain('disk_timeout')
})

test.each(waits)('%s has its row', (name) => {
  const rows = PAGE.split('\n').filter(
    (line) => line.startsWith('|') && line.includes(`\`${name}\``),
  )
  expect(rows).not.toEqual([])
})

test('every row says how long, how slow, by which option, and what then', () => {
  const rows = PAGE.split('\n').filter(
    (line) => line.startsWith('| ') && !/^\| what waits/.test(line),
  )
  expect(rows.length).toBeGreaterThan(30)
  for (const row of rows) {
    const cells = row.split('|').slice(1, -1)
    expect(cells, row).toHaveLength(5)
    for (const cell of cells) expect(cell.trim(), row).not.toBe('')
  }
})
