// SPDX-License-Identifier: Apache-2.0
// What a person sees of a machine whose firmware is UEFI: a screen of points, a keyboard at USB and none at a PS/2 port, as
// BMCs and newer servers have it; and what is left to the person when the machine is rescued.
import { afterAll, beforeAll, describe, test } from 'vitest'
import { BOOT_TIMEOUT_MS } from './agent-steps.ts'
import { canBootMachines } from './requirements.ts'
import { createScreenLab, HEAD, type ScreenLab, UUID } from './screen-lab.ts'

const PASSWORD = 'correcthorse'

describe.skipIf(!canBootMachines())(
  'what people see of a machine with UEFI and a keyboard at USB',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let at: ScreenLab

    beforeAll(async () => {
      at = await createScreenLab('screens-uefi', 'uefi')
      at.machine.setup.hasUsbKeyboard = true
      await at.machine.powerOn()
    }, BOOT_TIMEOUT_MS)
    afterAll(() => at?.[Symbol.asyncDispose]())

    test('waiting for a command; keys show facts, network and log', async () => {
      await at.said(/ironswarm: \S+ Waiting for a command; Ironic \S+ answered/)
      await at.shown(
        'waiting-for-a-command',
        UUID,
        /^ Ironic http:\S+ answered \d+ s ago$/,
        /^ Waiting for a command$/,
      )
      await at.turnPages('')
    })

    test('rescued: screen and keyboard are left to a login', async () => {
      const { screen, machine } = at
      const agent = await at.agent()
      await at.next()
      await agent.command('rescue.finalize_rescue', { rescue_password: PASSWORD }, true)
      await at.said(/ironswarm: \S+ rescued/)
      await screen.shows('rescued', [
        HEAD,
        UUID,
        /^ Rescued: this machine is left alone$/,
        /^ user rescue may log in/,
        /login:/,
      ])
      const type = async (text: string) => {
        for (const key of text) await machine.pressKey(key)
        await machine.pressKey('ret')
      }
      await type('rescue')
      await screen.shows('rescue-password', [/Password:/])
      await type(PASSWORD)
      await screen.shows('rescue-shell', [/[$#] ?_?$/])
      await type('id')
      await screen.shows('rescued-login', [/uid=1000\(rescue\)/])
    })

    test('serial lines are lines for people: no JSON, no escape codes', async () => {
      await at.expectPlainSerial()
    })
  },
)
