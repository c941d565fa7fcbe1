import { describe, expect, test } from 'vitest'
import { loadHardware } from '../../../agent/hardware/dispatcher.ts'
import type { StepImplementation } from '../../../agent/hardware/manager.ts'
import { announcedSteps, assertVersionsMatch } from '../../../agent/hardware/steps.ts'
import { managerWith, stepWith } from './manager-fixture.ts'

async function announce(offers: [string, number, StepImplementation[]][]) {
  const hardware = await loadHardware(
    offers.map(([label, support, steps]) => managerWith(label, support, { steps })),
  )
  const lists = announcedSteps(hardware, 'deploy')
  return Object.fromEntries(
    Object.entries(lists).map(([label, steps]) => [
      label,
      steps.map(({ step, priority }) => `${step} ${priority}`),
    ]),
  )
}

describe('announced steps', () => {
  test('stand in a list for each manager, an empty one included', async () => {
    expect(
      await announce([
        ['A', 1, [stepWith('x', 1), stepWith('y', 2)]],
        ['B', 2, []],
      ]),
    ).toEqual({ A: ['x 1', 'y 2'], B: [] })
  })

  test('of one name go to the manager with the higher support, whatever the priorities', async () => {
    expect(
      await announce([
        ['A', 1, [stepWith('x', 90)]],
        ['B', 2, [stepWith('x', 10)]],
      ]),
    ).toEqual({ A: [], B: ['x 10'] })
  })

  test('of one name and support go to the higher priority', async () => {
    expect(
      await announce([
        ['A', 2, [stepWith('x', 10)]],
        ['B', 2, [stepWith('x', 90)]],
      ]),
    ).toEqual({ A: [], B: ['x 90'] })
  })

  test('of one name, support and priority go to the label that sorts first', async () => {
    expect(
      await announce([
        ['B', 2, [stepWith('x', 10)]],
        ['A', 2, [stepWith('x', 10)]],
      ]),
    ).toEqual({ A: ['x 10'], B: [] })
  })

  test('of other kinds are left out', async () => {
    const cleaning: StepImplementation = { ...stepWith('scrub', 5), kinds: ['clean'] }
    expect(await announce([['A', 1, [cleaning]]])).toEqual({ A: [] })
  })
})

describe('the version map', () => {
  const current = { generic_hardware_manager: '1.2', vendor: '3' }

  test.each([
    ['absent', undefined],
    ['null', null],
    ['equal, in another order', { vendor: '3', generic_hardware_manager: '1.2' }],
  ])('passes when %s', (_, received) => {
    expect(() => assertVersionsMatch(received, current)).not.toThrow()
  })

  test.each([
    ['a manager is missing', { generic_hardware_manager: '1.2' }],
    ['a manager is new', { ...current, other: '1' }],
    ['a version differs', { ...current, vendor: '4' }],
    ['it is no object', 'generic 1.2'],
    ['it is empty', {}],
  ])('is a VersionMismatch when %s', (_, received) => {
    expect(() => assertVersionsMatch(received, current)).toThrow(
      expect.objectContaining({ type: 'VersionMismatch', status: 409 }),
    )
  })
})
