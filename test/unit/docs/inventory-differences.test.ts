// docs/differences.md, "Inspection, key by key": this agent, run now on each recorded machine, beside what the real
// ironic-python-agent said of it.
import { beforeAll, describe, expect, test } from 'vitest'
import {
  type InventoryTable,
  inventoryTable,
  tableOf,
} from '../../support/differences/inventory.ts'
import { MACHINES } from '../../support/machines/catalog.ts'
import { compareInspections } from '../../support/machines/compare.ts'
import { readRecording } from '../../support/machines/recording.ts'
import { replayedInspection } from '../../support/machines/replay.ts'

describe('the inspection of a recorded machine', () => {
  let table: InventoryTable
  beforeAll(async () => {
    table = await inventoryTable()
  })

  test('is that of ironic-python-agent but for the keys that have a reason, each of which still differs', () => {
    expect(table.faults).toEqual([])
    expect(table.rows.length).toBeGreaterThan(0)
  })

  test.each(MACHINES)(
    'of $name was recorded from ironic-python-agent 13.0.0, without a failure',
    async (machine) => {
      const { pythonAgent } = await readRecording(machine)
      expect(pythonAgent.version).toBe('13.0.0')
      expect(pythonAgent.inspected).toMatchObject({ error: null })
    },
  )

  test.each(MACHINES)(
    'of $name fails nothing, and the BMC is left alone where Ironic says so',
    async (machine) => {
      const { inspected, withoutBmc } = await replayedInspection(machine)
      expect(inspected).toMatchObject({ error: null })
      expect(withoutBmc).toEqual({ bmc_address: null, bmc_v6address: null })
    },
  )
})

describe('a difference', () => {
  const found = { machine: 'm', key: 'a.b', member: 'x', theirs: 1, ours: 2 }
  const reason = (...places: string[]) => ({ 'a.b': { places, why: 'so' } })

  test.each([
    ['without a reason', [found], {}, ['a.b of m: x differs without a reason']],
    [
      'at another place than its reason says',
      [found],
      reason('m: y'),
      ['a.b of m: x differs without a reason', 'a.b of m: y differs no more'],
    ],
    ['that is none any more', [], reason('m: x'), ['a.b differs nowhere any more']],
    ['with its reason', [found], reason('m: x'), []],
  ])('%s is a fault, or not', (_what, differences, reasons, faults) => {
    expect(tableOf(differences, reasons).faults).toEqual(faults)
  })
})

describe('two inspections', () => {
  const answer = (inventory: object) => ({ inspected: { inventory }, withoutBmc: {} })
  const nic = (name: string, speed: number | null) => ({ name, speed })

  test('are told apart by the names of what they list, whatever its order', () => {
    const a = answer({ interfaces: [nic('a', 1), nic('b', 2)] })
    const b = answer({ interfaces: [nic('b', 2), nic('a', null), nic('c', 3)] })
    expect(compareInspections(a, b)).toEqual([
      { key: 'inventory.interfaces[].speed', member: 'a', theirs: 1, ours: null },
      { key: 'inventory.interfaces[]', member: 'c', theirs: undefined, ours: nic('c', 3) },
    ])
    expect(compareInspections(a, a)).toEqual([])
  })

  test('differ where one has a key that the other lacks, null or not', () => {
    const difference = { key: 'inventory.bmc_mac', member: '', theirs: undefined, ours: null }
    expect(compareInspections(answer({}), answer({ bmc_mac: null }))).toEqual([difference])
  })
})
