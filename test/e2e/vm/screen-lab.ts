// SPDX-License-Identifier: Apache-2.0
// Owns a machine with a screen and how both its consoles are asked what they show: what the tests of screens share. Does not
// say what scenes there are.
import { join } from 'node:path'
import { expect } from 'vitest'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import type { Firmware } from '../../support/vm/qemu-arguments.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import {
  createScreenWatch,
  type ScreenWatch,
  type SeenScreen,
} from '../../support/vm/screen-watch.ts'
import { agentClientOf, BOOT_TIMEOUT_MS } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'

const BUILD = join(import.meta.dirname, '../../../build/test-vm')
const SERIAL_LINE = /^ironswarm: \d\d:\d\d:\d\d [ -~]+$/
const FOOT = /^ F facts {3}L log {3}N network {3}R ask Ironic again +\d\d:\d\d:\d\d$/
/** The first line, and the second one once the node is known. */
export const HEAD = /^ \S+ +ironswarm \d+\.\d+\.\d+$/
export const UUID = /^ [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export interface ScreenLab extends AsyncDisposable {
  readonly lab: VmLab
  readonly machine: QemuMachine
  readonly screen: ScreenWatch
  /** The first line of the serial console that matches, since `next()`. */
  said(words: RegExp): Promise<RegExpExecArray>
  /** What was said until now does not count any more. */
  next(): Promise<void>
  /** Until the screen shows these lines between head and foot. */
  shown(picture: string, ...lines: readonly RegExp[]): Promise<SeenScreen>
  /** Presses the keys of all pages, and one that leads back. */
  turnPages(prefix: string): Promise<void>
  /** Once it has said where it is. */
  agent(): Promise<AgentClient>
  /** Lines for people alone on the serial console: no JSON, no escape codes. */
  expectPlainSerial(): Promise<void>
}

/** The machine is off. Logs and pictures are left in `build/test-vm/<name>`. */
export async function createScreenLab(name: string, firmware: Firmware): Promise<ScreenLab> {
  const folder = join(BUILD, name)
  const setting = { nodes: 1, boot: 'direct', firmware, isSwarm: true } as const
  const size = { image: SMALL_IMAGE, memoryMib: 512, hasScreen: true }
  const ramdisk = findRamdisk(process.env)
  const lab = await createVmLab({ ...setting, ...size, ramdisk }, folder, 'any')
  const machine = lab.machines[0] as QemuMachine
  const screen = await createScreenWatch(machine, folder, ramdisk.kernel)
  const { kernel } = machine.setup
  // as an operator has it: people's lines on the serial line, and no JSON
  const words = kernel?.cmdline.replaceAll('ipa-debug=1', '') ?? ''
  const cmdline = `${words} ipa-swarm-torrent-url=${lab.source.torrentUrl}`
  if (kernel) machine.setup.kernel = { ...kernel, cmdline }
  let from = 0
  const shown: ScreenLab['shown'] = (picture, ...lines) =>
    screen.shows(picture, [HEAD, ...lines, FOOT])
  return {
    lab,
    machine,
    screen,
    shown,
    said: (wanted) => machine.serial.waitFor(wanted, { timeoutMs: BOOT_TIMEOUT_MS, from }),
    next: async () => {
      from = await machine.serial.end()
    },
    turnPages: async (prefix) => {
      const page = async (key: string, ...lines: readonly RegExp[]) => {
        await machine.pressKey(key)
        await screen.shows(`${prefix}key-${key}`, [HEAD, ...lines, /^ Any key: back +F facts/])
      }
      await page('f', /^ Facts$/, /^ Memory +\d+\.\d MiB$/, /^ \/dev\/vda +5\.0 GiB/)
      const link = new RegExp(`^ \\S+ {2}${machine.mac} {2}up$`)
      await page('n', /^ Network$/, link, /^ Ironic http:/)
      await page('l', /^ Log of /, /^ \d\d:\d\d:\d\d info {2}agent started$/)
      await machine.pressKey('spc')
      await shown(`${prefix}key-any`)
    },
    agent: async () => {
      const told = () => lab.ironic.nodes.get(machine.uuid)?.agentUrl ?? ''
      await expect.poll(told, { timeout: BOOT_TIMEOUT_MS }).not.toBe('')
      return agentClientOf(lab.ironic, machine.uuid)
    },
    expectPlainSerial: async () => {
      const text = await machine.serial.text()
      const lines = text.split(/\r?\n/).filter((line) => line.startsWith('ironswarm: '))
      expect(lines.length).toBeGreaterThan(10)
      expect(lines.filter((line) => !SERIAL_LINE.test(line))).toEqual([])
      expect(text).not.toContain('{"level"')
    },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  }
}
