import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../agent/core/json.ts'
import type { Step } from '../../../agent/hardware/manager.ts'
import { managerWith, stepWith } from '../hardware/manager-fixture.ts'
import { createExtensionLab } from './extension-lab.ts'

const NODE = { uuid: '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6', instance_info: {}, properties: {} }

/** One step for service alone, and one for deploy alone. */
const MANAGERS = [
  managerWith('Polisher', 2, {
    steps: [
      { ...stepWith('polish', 5, 'shiny', ['grit']), kinds: ['service'] },
      stepWith('wax', 5),
    ],
  }),
]

const polish = (step: object = {}, more: object = {}) => ({
  step: { interface: 'deploy', step: 'polish', ...step },
  node: NODE,
  ports: [],
  ...more,
})

describe('service.get_service_steps', () => {
  test('lists what may be done to a machine with an instance, and the version map', async () => {
    await using lab = await createExtensionLab({ managers: MANAGERS })
    const answer = (await lab.run('service.get_service_steps', { node: NODE, ports: [] })) as {
      service_steps: Record<string, Step[]>
    } & JsonObject
    expect(Object.keys(answer)).toEqual(['service_steps', 'hardware_manager_version'])
    expect(answer.service_steps['Polisher']?.map(({ step }) => step)).toEqual(['polish'])
    const generic = answer.service_steps['GenericHardwareManager'] ?? []
    expect(generic.map(({ step }) => step)).toContain('write_image')
    for (const step of generic) expect(step).toMatchObject({ priority: 0 })
  })

  test('has nothing that erases: the instance lives', async () => {
    await using lab = await createExtensionLab()
    const answer = JSON.stringify(
      await lab.run('service.get_service_steps', { node: NODE, ports: [] }),
    )
    expect(answer).not.toMatch(/erase_|burnin_disk|clean_uefi_nvram/)
  })
})

describe('service.execute_service_step', () => {
  test('answers with the result of the step and the step exactly as received', async () => {
    await using lab = await createExtensionLab({ managers: MANAGERS })
    const params = polish(
      { args: { grit: 240 } },
      { service_version: lab.deps.hardware.versions() },
    )
    expect(await lab.run('service.execute_service_step', params)).toEqual({
      service_result: 'shiny',
      service_step: params.step,
    })
  })

  test.each([
    ['a step of another kind', polish({ step: 'wax' }), 'HardwareManagerMethodNotFound'],
    ['another version map', polish({}, { service_version: { x: '1' } }), 'VersionMismatch'],
    ['an argument nobody knows', polish({ args: { colour: 1 } }), 'InvalidCommandParamsError'],
  ])('refuses %s', async (_case, params, type) => {
    await using lab = await createExtensionLab({ managers: MANAGERS })
    await expect(lab.run('service.execute_service_step', params)).rejects.toMatchObject({ type })
  })

  test('reports a foreign exception as a ServicingError', async () => {
    const steps = [
      {
        ...stepWith('polish', 0),
        kinds: ['service' as const],
        run: async () => {
          throw new TypeError('no cloth')
        },
      },
    ]
    await using lab = await createExtensionLab({ managers: [managerWith('P', 2, { steps })] })
    await expect(lab.run('service.execute_service_step', polish())).rejects.toMatchObject({
      type: 'ServicingError',
      details: 'Unexpected exception performing service step polish. TypeError: no cloth',
    })
  })
})

describe('system.lockdown', () => {
  test('answers null at once and has the agent withdraw', async () => {
    await using lab = await createExtensionLab()
    expect(await lab.run('system.lockdown')).toBeNull()
    expect(lab.events).toEqual(['locked down'])
  })

  test('takes no parameters', async () => {
    await using lab = await createExtensionLab()
    await expect(lab.run('system.lockdown', { force: true })).rejects.toMatchObject({ status: 400 })
    expect(lab.events).toEqual([])
  })
})
