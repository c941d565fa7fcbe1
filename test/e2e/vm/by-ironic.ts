// SPDX-License-Identifier: Apache-2.0
// Owns `make vm IRONIC=1`: a real, unmodified Ironic switches one machine on, boots it by PXE, deploys the small image to
// it and boots its disk. Says what happens as it happens; exit code 0 only if the instance runs.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { rejectedBy, runInterruptibly } from '../../support/interrupts.ts'
import { createIronicLab, type IronicLab } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { deploy } from './deploys.ts'
import { createScreen, type Screen } from './screen.ts'
import { PROJECT, readFirmware } from './settings.ts'

const FOLDER = join(PROJECT, 'build/vm')
const LOOK_EVERY_MS = 500
/** What the machine says to people: its console's lines, its switches, its instance. */
const NEWS =
  /(?:====.*Z (?:node-1 )?|^ironswarm: (?:\d\d:\d\d:\d\d )?|\] ironswarm: |(?=IRONSWARM-INSTANCE ))(.*)/gm

async function vmByIronic(interrupted: AbortSignal): Promise<true> {
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  const screen = createScreen((line) => console.log(line), elapsed)
  const firmware = readFirmware(process.env)
  const name = 'node-1'
  screen.line(name, 'Ironic starts')
  await using lab = await createIronicLab([{ name, firmware }], FOLDER)
  const machine = lab.machine(name)
  const uuid = await Promise.race([rejectedBy(interrupted), lab.enrol(machine)])
  screen.line(name, `node ${uuid} is available; ${firmware}, ${lab.accelerator}, ${lab.ironic.url}`)
  const isOver = new AbortController()
  const watching = [
    watchConsole(machine, screen, isOver.signal),
    watchNode(lab, uuid, { name, screen, signal: isOver.signal }),
  ]
  try {
    const { seconds } = await Promise.race([rejectedBy(interrupted), deploy(lab, machine, uuid)])
    const all = elapsed().toFixed(1)
    screen.line(
      name,
      `deployed in ${seconds.toFixed(1)} s; its instance runs ${all} s after the start`,
    )
    return true
  } finally {
    isOver.abort()
    await Promise.all(watching)
    console.log(`serial log: ${machine.serial.path}`)
  }
}

async function watchConsole(
  { name, serial }: QemuMachine,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  let shown = 0
  while (!signal.aborted) {
    const text = await serial.text()
    // half a line is told when it is whole
    const news = [...text.slice(0, text.lastIndexOf('\n') + 1).matchAll(NEWS)]
    for (const [, words = ''] of news.slice(shown)) screen.line(name, words)
    shown = news.length
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

async function watchNode(
  { ironic }: IronicLab,
  uuid: string,
  { name, screen, signal }: { name: string; screen: Screen; signal: AbortSignal },
): Promise<void> {
  let shown = ''
  while (!signal.aborted) {
    const state = (await ironic.node(uuid).catch(() => undefined))?.provision_state ?? shown
    if (state !== shown) screen.line(name, `Ironic: ${state}`)
    shown = state
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

await runInterruptibly('vm', vmByIronic)
