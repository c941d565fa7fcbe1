import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { loadHardware } from '../../../agent/hardware/dispatcher.ts'
import { SUPPORT } from '../../../agent/hardware/manager.ts'
import { callWith, managerWith, stepWith } from './manager-fixture.ts'

const decline = async () => {
  throw new AgentError('IncompatibleHardwareMethodError', 'not on this machine')
}

describe('a manager that is left out', () => {
  test.each([
    ['erase_devices', true, false],
    ['inject_files', false, true],
  ])('may hide disks: whether %s runs without it', async (step, takesAnyDisk, isRun) => {
    const hanging = managerWith('Acme', SUPPORT.SERVICE_PROVIDER, {
      initialize: () => Promise.reject(new Error('no answer within 60 s')),
    })
    const all = { ...stepWith(step, 10, 'ran'), takesAnyDisk }
    const generic = managerWith('Generic', SUPPORT.GENERIC, { steps: [all] })
    const hardware = await loadHardware([hanging, generic])
    const running = hardware.runStep('deploy', step, callWith())
    if (isRun) expect(await running).toBe('ran')
    else {
      await expect(running).rejects.toMatchObject({
        type: 'HardwareManagerConfigurationError',
        details: expect.stringContaining('no answer within 60 s'),
      })
    }
  })
})

describe('loading hardware managers', () => {
  test('evaluates each once, drops NONE and asks the best first, equals in their given order', async () => {
    const asked: string[] = []
    const make = (label: string, support: number) =>
      managerWith(label, support, {
        evaluateHardwareSupport: async () => {
          asked.push(label)
          return support
        },
      })
    const hardware = await loadHardware([
      make('Generic', SUPPORT.GENERIC),
      make('Absent', SUPPORT.NONE),
      make('MainB', SUPPORT.MAINLINE),
      make('MainA', SUPPORT.MAINLINE),
      make('Vendor', SUPPORT.SERVICE_PROVIDER + 1),
    ])
    expect(hardware.managers.map(({ manager }) => manager.label)).toEqual([
      'Vendor',
      'MainB',
      'MainA',
      'Generic',
    ])
    hardware.versions()
    expect(asked.sort()).toEqual(['Absent', 'Generic', 'MainA', 'MainB', 'Vendor'])
  })

  test('initializes them in the order of support, after all have been evaluated', async () => {
    const order: string[] = []
    const make = (label: string, support: number) =>
      managerWith(label, support, {
        evaluateHardwareSupport: async () => {
          order.push(`evaluate ${label}`)
          return support
        },
        initialize: async () => {
          order.push(`initialize ${label}`)
        },
      })
    await loadHardware([make('Low', 1), make('High', 2), make('None', 0)])
    expect(order.slice(0, 3).every((entry) => entry.startsWith('evaluate'))).toBe(true)
    expect(order.slice(3)).toEqual(['initialize High', 'initialize Low'])
  })

  test('fails with HardwareManagerNotFound when none supports the machine', async () => {
    await expect(loadHardware([managerWith('Absent', SUPPORT.NONE)])).rejects.toMatchObject({
      type: 'HardwareManagerNotFound',
    })
  })
})

describe('dispatch', () => {
  test('takes the first manager that has the method', async () => {
    const hardware = await loadHardware([
      managerWith('Low', 1, { waitForDisks: async () => false }),
      managerWith('High', 3),
      managerWith('Middle', 2, { waitForDisks: async () => true }),
    ])
    expect(await hardware.dispatch('waitForDisks', undefined, callWith().context.signal)).toBe(true)
  })

  test('goes on to the next manager when one declines, and keeps an empty answer', async () => {
    const hardware = await loadHardware([
      managerWith('High', 3, { fullSync: decline }),
      managerWith('Low', 1, { fullSync: async () => undefined }),
    ])
    expect(await hardware.dispatch('fullSync', callWith().context.signal)).toBeUndefined()
  })

  test('passes any other error on without asking further', async () => {
    const hardware = await loadHardware([
      managerWith('High', 3, {
        getOsInstallDevice: async () => {
          throw new AgentError('DeviceNotFound', 'none')
        },
      }),
      managerWith('Low', 1, { getOsInstallDevice: async () => ({}) as never }),
    ])
    await expect(hardware.dispatch('getOsInstallDevice', undefined)).rejects.toMatchObject({
      type: 'DeviceNotFound',
    })
  })

  test('fails with HardwareManagerMethodNotFound, naming the method, when nobody has it', async () => {
    const hardware = await loadHardware([managerWith('High', 3, { fullSync: decline })])
    await expect(hardware.dispatch('fullSync', callWith().context.signal)).rejects.toMatchObject({
      type: 'HardwareManagerMethodNotFound',
      details: expect.stringContaining('fullSync'),
    })
  })

  test('keeps `this` of a manager that is an object with state', async () => {
    const manager = {
      ...managerWith('Stateful', 1),
      answer: true,
      async waitForDisks() {
        return this.answer
      },
    }
    const hardware = await loadHardware([manager])
    expect(await hardware.dispatch('waitForDisks', undefined, callWith().context.signal)).toBe(true)
  })
})

test('dispatchAll collects the answers by label and leaves out who declines', async () => {
  const hardware = await loadHardware([
    managerWith('One', 1, { collectSystemLogs: async () => [{ name: 'one', content: '1' }] }),
    managerWith('Two', 2, { collectSystemLogs: async () => [{ name: 'two', content: '2' }] }),
    managerWith('Shy', 3, { collectSystemLogs: decline }),
  ])
  const answers = await hardware.dispatchAll('collectSystemLogs', callWith().context.signal)
  expect([...answers.keys()]).toEqual(['Two', 'One'])
  expect(answers.get('One')).toEqual([{ name: 'one', content: '1' }])
})

describe('running a step', () => {
  test('takes the best manager that has it and returns what it returns', async () => {
    const hardware = await loadHardware([
      managerWith('Low', 1, { steps: [stepWith('polish', 0, 'low')] }),
      managerWith('High', 2, { steps: [stepWith('polish', 0, 'high'), stepWith('other', 0)] }),
    ])
    expect(await hardware.runStep('deploy', 'polish', callWith())).toBe('high')
  })

  test('refuses a step nobody offers, and one of another kind', async () => {
    const hardware = await loadHardware([managerWith('Low', 1, { steps: [stepWith('polish', 0)] })])
    for (const [kind, name] of [
      ['deploy', 'getOsInstallDevice'],
      ['clean', 'polish'],
    ] as const) {
      await expect(hardware.runStep(kind, name, callWith())).rejects.toMatchObject({
        type: 'HardwareManagerMethodNotFound',
      })
    }
  })

  test('refuses an argument the step does not take and names those it takes', async () => {
    const hardware = await loadHardware([
      managerWith('Low', 1, { steps: [stepWith('polish', 0, null, ['grit', 'passes'])] }),
    ])
    await expect(
      hardware.runStep('deploy', 'polish', callWith({ grit: 80, colour: 'red' })),
    ).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      details: 'step polish does not take colour; it takes grit, passes',
    })
  })
})
