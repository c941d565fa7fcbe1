// What a person sees at the rack and in a BMC's log: pictures of the screen and lines of the serial console, from a machine
// without an address to one that is erased. Pictures stay in build/test-vm/screens/.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { agentClientOf, BOOT_TIMEOUT_MS, imageInfoOf, runStep } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/screens')
const LINE = /^ironswarm: \d\d:\d\d:\d\d [ -~]+$/
/** A picture is drawn once a second; a machine without KVM is slower. */
const DRAWN_MS = 4000

describe.skipIf(!canBootMachines())(
  'what people see of a machine',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let lab: VmLab
    let machine: QemuMachine
    let from = 0

    beforeAll(async () => {
      const setting = { nodes: 1, boot: 'direct', firmware: 'bios', isSwarm: true } as const
      const size = { image: SMALL_IMAGE, memoryMib: 512, hasScreen: true }
      lab = await createVmLab(
        { ...setting, ...size, ramdisk: findRamdisk(process.env) },
        FOLDER,
        'any',
      )
      lab.ironic.failNext('/v1/lookup', 404, 5)
      machine = lab.machines[0] as QemuMachine
      const { kernel } = machine.setup
      // as an operator has it: people's lines on the serial line, and no JSON
      const words = kernel?.cmdline.replaceAll('ipa-debug=1', '') ?? ''
      const cmdline = `${words} ipa-swarm-torrent-url=${lab.source.torrentUrl}`
      if (kernel) machine.setup.kernel = { ...kernel, cmdline }
      await cable('nomaster')
      await machine.powerOn()
    }, BOOT_TIMEOUT_MS)
    afterAll(() => lab?.[Symbol.asyncDispose]())

    /** The line that matches, once it has come, and a picture of the screen then. */
    const seen = async (words: RegExp, picture: string): Promise<string> => {
      const timing = { timeoutMs: BOOT_TIMEOUT_MS, from }
      const [found] = await machine.serial.waitFor(words, timing)
      await delay(DRAWN_MS)
      await machine.screenshot(join(FOLDER, `${picture}.png`))
      return found
    }
    const next = async () => {
      from = await machine.serial.end()
    }

    test('waiting for DHCP', async () => {
      await seen(/ironswarm: \S+ Waiting for the network; \S+: no address yet/, 'waiting-for-dhcp')
      await cable('master', 'ironswarm')
    })

    test('waiting for Ironic, which does not know the machine yet; keys change the page', async () => {
      await seen(/ironswarm: \S+ Ironic: lookup failed: .*again in \d+ s/, 'waiting-for-ironic')
      for (const key of ['f', 'n', 'l', 'r']) {
        await machine.pressKey(key)
        await delay(DRAWN_MS)
        await machine.screenshot(join(FOLDER, `key-${key}.png`))
      }
    })

    test('waiting for a command', async () => {
      await seen(
        /ironswarm: \S+ Waiting for a command; Ironic \S+ answered/,
        'waiting-for-a-command',
      )
    })

    const step = (kind: 'clean' | 'deploy', name: string, args = {}) =>
      runStep(agentClientOf(lab.ironic, machine.uuid), {
        ...{ kind, step: name, interface: 'deploy', args },
        node: {
          uuid: machine.uuid,
          driver_internal_info: { agent_erase_devices_iterations: 1 },
        },
      })

    test('deploying by swarm', async () => {
      await next()
      await using _seed = lab.source.seed()
      const writing = step('deploy', 'write_image', { image_info: imageInfoOf(lab) })
      await seen(/ironswarm: \S+ writing the image/, 'deploying')
      expect(await writing).toMatchObject({ command_error: null })
      expect(await machine.serial.text(from)).toMatch(/write image: done in \d+:\d\d/)
    })

    test('failed', async () => {
      await next()
      const wrong = { ...imageInfoOf(lab), os_hash_value: 'ab'.repeat(32) }
      const writing = step('deploy', 'write_image', { image_info: wrong })
      const line = await seen(/ironswarm: \S+ Ironic's command \S+: failed: .*/, 'failed')
      expect(line).toMatch(/ > [A-Z].*\./)
      expect((await writing).command_status).toBe('FAILED')
    })

    test('erasing', async () => {
      await next()
      // its end is not waited for: without KVM it takes minutes
      step('clean', 'erase_devices').catch(() => undefined)
      await seen(/ironswarm: \S+ erasing disks \d+\.\d%/, 'erasing')
    })

    test('serial lines are lines for people: no JSON, no escape codes', async () => {
      const text = await machine.serial.text()
      const lines = text.split(/\r?\n/).filter((line) => line.startsWith('ironswarm: '))
      expect(lines.length).toBeGreaterThan(10)
      expect(lines.filter((line) => !LINE.test(line))).toEqual([])
      expect(text).not.toContain('{"level"')
    })
  },
)

async function cable(...words: readonly string[]): Promise<void> {
  await promisify(execFile)('ip', ['link', 'set', 'tap0', ...words])
}
