// SPDX-License-Identifier: Apache-2.0
// What a person sees at the rack and in a BMC's log, from a machine without an address to one that is erased: what stands on
// the screen is read from pictures of it, and the lines of the serial console are read beside it. Pictures stay in
// build/test-vm/screens/.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BOOT_TIMEOUT_MS, imageInfoOf, runStep } from './agent-steps.ts'
import { canBootMachines } from './requirements.ts'
import { createScreenLab, type ScreenLab, UUID } from './screen-lab.ts'

const MiB = 1024 * 1024
const BAR = /^ █*░* +\d+\.\d%$/
/** More than any machine asks for in a test. */
const UNTIL_TOLD = 100_000

describe.skipIf(!canBootMachines())(
  'what people see of a machine',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let at: ScreenLab
    let unknown: Disposable

    beforeAll(async () => {
      at = await createScreenLab('screens', 'bios')
      unknown = at.lab.ironic.failNext('/v1/lookup', 404, UNTIL_TOLD)
      await cable('nomaster')
      await at.machine.powerOn()
    }, BOOT_TIMEOUT_MS)
    afterAll(() => at?.[Symbol.asyncDispose]())

    test('waiting for DHCP', async () => {
      await at.said(/ironswarm: \S+ Waiting for the network; \S+: no address yet/)
      const seen = await at.shown(
        'waiting-for-dhcp',
        /^ node not known yet$/,
        new RegExp(`^ \\S+ +${at.machine.mac} {2}no address yet$`),
        /^ Ironic (http:\S+ )?not asked yet$/,
        /^ Waiting for the network$/,
        /^ \S+: no address yet, asking DHCP$/,
      )
      expect(seen.inkOf(/Waiting for the network/)).toBe('yellow')
    })

    test('waiting for Ironic, which does not know the machine: why, and when it is asked again', async () => {
      await cable('master', 'ironswarm')
      await at.said(/ironswarm: \S+ Ironic: lookup failed: status 404.*; again in \d+ s/)
      const seen = await at.shown(
        'waiting-for-ironic',
        new RegExp(`^ \\S+ +${at.machine.mac} {2}10\\.77\\.0\\.\\d+$`),
        /^ Ironic http:\S+ has not answered: status 404/,
        /^ > Check the MAC addresses of the node's ports/,
        /^ Waiting for Ironic$/,
        /^ asked again (in \d+ s|now)$/,
      )
      expect(seen.inkOf(/has not answered/)).toBe('red')
    })

    test('keys show facts, network and log', async () => {
      await at.turnPages('')
    })

    test('R asks Ironic before it would have been asked', async () => {
      // with time enough until then
      const seen = await at.shown('before-r', /^ asked again in (1[5-9]|[2-9]\d) s$/)
      const wait = seen.groupOf(/^ asked again in (\d+) s$/)
      const pressedAt = seen.groupOf(/R ask Ironic again +(\d\d:\d\d:\d\d)$/)
      await at.next()
      await at.machine.pressKey('r')
      const [, askedAt] = await at.said(/ironswarm: (\S+) Ironic: lookup failed/)
      expect(secondsBetween(pressedAt, askedAt)).toBeLessThan(Number(wait) - 3)
    })

    test('waiting for a command', async () => {
      unknown[Symbol.dispose]()
      await at.machine.pressKey('r')
      await at.said(/ironswarm: \S+ Waiting for a command; Ironic \S+ answered/)
      await at.shown(
        'waiting-for-a-command',
        UUID,
        /^ Ironic http:\S+ answered \d+ s ago$/,
        /^ Waiting for a command$/,
      )
    })

    /** What is waited for while something runs; its failure ends the waiting. */
    const during = <T>(running: Promise<unknown>, wanted: Promise<T>): Promise<T> =>
      Promise.race([wanted, running.then(() => wanted)])
    const step = async (kind: 'clean' | 'deploy', name: string, args = {}) =>
      runStep(await at.agent(), {
        ...{ kind, step: name, interface: 'deploy', args },
        node: {
          uuid: at.machine.uuid,
          driver_internal_info: { agent_erase_devices_iterations: 1 },
        },
      })

    test('deploying by swarm: bytes of a peer, the bar, and which step it is', async () => {
      await at.next()
      at.lab.source.origin.faults = { rateBytesPerSecond: MiB / 2 }
      await using _seed = at.lab.source.seed('--swarm-upload-limit', String(MiB))
      const writing = step('deploy', 'write_image', { image_info: imageInfoOf(at.lab) })
      await during(writing, at.said(/ironswarm: \S+ step \d of \d: writing the image [1-9]/))
      const seen = await at.shown(
        'deploying',
        UUID,
        /^ Writing the image +step \d of \d$/,
        BAR,
        /^ [\d.]+ MiB of 64\.0 MiB {3}\d.*B\/s {3}.* left/,
        /^ peers [\d.]+ [KM]iB {3}origin .* {3}1 peer {3}uploaded 0 B$/,
        /^ swarm fetching: [1-9]\d* of \d+ pieces {3}1 peer {3}down .*B\/s {3}up 0 B\/s$/,
        /^ trackers 1 of 1$/,
      )
      expect(seen.inkOf(BAR)).toBe('white')
      at.lab.source.origin.faults = {}
      expect(await writing).toMatchObject({ command_error: null })
      await at.said(/writing the image \d+\.\d%.*peers \d.*\(1 peer\)/)
      await at.said(/write image: done in \d+:\d\d/)
    })

    test('failed: what failed, why, and what to do', async () => {
      await at.next()
      const wrong = { ...imageInfoOf(at.lab), os_hash_value: 'ab'.repeat(32) }
      const writing = step('deploy', 'write_image', { image_info: wrong })
      const [line] = await during(
        writing,
        at.said(/ironswarm: \S+ Ironic's command \S+ write_image: failed: .*/),
      )
      expect(line).toMatch(/ImageChecksumError.* > [A-Z].*\./)
      const seen = await at.shown(
        'failed',
        UUID,
        /^ Failed: write_image$/,
        /^ execute_deploy_step$/,
        /^ Failed \d+ s ago: ImageChecksumError$/,
        /^ > [A-Z]/,
      )
      expect(seen.inkOf(/^ Failed: /)).toBe('red')
      expect((await writing).command_status).toBe('FAILED')
    })

    test('erasing', async () => {
      await at.next()
      // its end is not waited for: without KVM it takes minutes
      const erasing = step('clean', 'erase_devices')
      erasing.catch(() => undefined)
      await during(erasing, at.said(/ironswarm: \S+ erasing disks \d+\.\d%/))
      await at.shown('erasing', UUID, /^ Erasing disks$/, BAR, /^ .* of 10\.0 GiB {3}.*B\/s/)
    })

    test('serial lines are lines for people: no JSON, no escape codes', async () => {
      await at.expectPlainSerial()
    })
  },
)

/** Between two times of a day. */
function secondsBetween(before = '', after = ''): number {
  const [from, to] = [before, after].map((clock) => Date.parse(`1970-01-01T${clock}Z`) / 1000)
  return ((to as number) - (from as number) + 86_400) % 86_400
}

async function cable(...words: readonly string[]): Promise<void> {
  await promisify(execFile)('ip', ['link', 'set', 'tap0', ...words])
}
