// docs/differences.md: every name of ironic-python-agent beside ours, with a reason wherever they differ.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { OPTIONS } from '../../../agent/config/options.ts'
import {
  IPA_COMMANDS,
  IPA_DRIVER_FIELDS,
  IPA_INTERNAL_FIELDS,
  IPA_OPTIONS,
  IPA_STEPS,
} from '../../support/differences/ironic-python-agent.ts'
import { differences, differencesPage, idleReasons } from '../../support/differences/table.ts'

const rows = [...differences().values()].flat()
const rowOf = (name: string) => rows.find((row) => row.name === name)

describe('docs/differences.md', () => {
  test('is what `make docs` makes of the tables now', async () => {
    const page = readFileSync('docs/differences.md', 'utf8')
    expect(page.split('<!-- differences -->\n')[1]).toBe(await differencesPage())
  })

  test('has every name of either agent, each once in its table', () => {
    const names = [
      ...IPA_OPTIONS.map(([name]) => name),
      ...Object.keys(OPTIONS),
      ...IPA_COMMANDS,
      ...Object.entries(IPA_STEPS).flatMap(([step, { args }]) => [
        step,
        ...args.map((arg) => `${step}(${arg})`),
      ]),
      ...Object.keys(IPA_INTERNAL_FIELDS),
      ...Object.keys(IPA_DRIVER_FIELDS),
    ]
    expect(names.filter((name) => rowOf(name) === undefined)).toEqual([])
    for (const table of differences().values()) {
      expect(new Set(table.map(({ name }) => name)).size).toBe(table.length)
    }
  })

  test('says why wherever ours is not as theirs, and only there', () => {
    const silent = rows.filter(({ ours, why }) => (ours === 'as IPA') !== (why === ''))
    expect(silent).toEqual([])
    expect(idleReasons()).toEqual([])
  })

  test('owes a reason only for options that nothing acts on yet', () => {
    const unbuilt = rows.filter(({ why }) => why === 'not built yet').map(({ name }) => name)
    const without = Object.entries(OPTIONS).flatMap(([name, row]) =>
      'noEffect' in row ? [name] : [],
    )
    expect(unbuilt.filter((name) => !without.includes(name))).toEqual([])
  })

  test.each([
    ['listen_port', { ours: 'as IPA', why: '' }],
    ['md5_enabled', { theirs: '`false`', ours: '`true`' }],
    ['swarm_mode', { theirs: '–', why: expect.stringMatching(/^ours alone: auto: swarm/) }],
    ['burnin_disk', { theirs: 'clean 0' }],
    ['agent_erase_devices_zeroize', { theirs: '`true`', ours: 'as IPA' }],
    ['wipe_special_filesystems', { ours: 'not known' }],
  ])('has %s as it is', (name, expected) => {
    expect(rowOf(name)).toMatchObject(expected)
  })
})
