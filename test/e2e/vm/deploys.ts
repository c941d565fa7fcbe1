// SPDX-License-Identifier: Apache-2.0
// Owns what the tests with a real Ironic do again and again: give a node its image and config drive, wait
// for its instance on the serial console, and show where to look when it did not come.
import { onTestFailed } from 'vitest'
import type { IronicLab } from '../../support/vm/ironic-lab.ts'
import { MUTE_MS, refuseMute } from '../../support/vm/mute-serial.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'

/** Other work shares the processor, and without KVM a boot takes a minute then. */
export const DEPLOY_TIMEOUT_MS = 900_000
const INSTANCE_TIMEOUT_MS = 300_000

export interface Deployed {
  readonly uuid: string
  /** End of the serial log when the deploy began. */
  readonly from: number
}

/** instance_info of the laboratory's image; with `torrent` the nodes share it. */
export function instanceInfo(
  { source: { origin, image, torrentUrl } }: IronicLab,
  { torrent = false, ...fields }: { torrent?: boolean } & Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    image_source: origin.url,
    image_os_hash_algo: 'sha256',
    image_os_hash_value: image.sha256,
    image_disk_format: 'raw',
    ...(torrent ? { image_torrent_file: torrentUrl } : {}),
    ...fields,
  }
}

/** Asks Ironic to deploy; does not wait. The instance is called like the machine. */
export async function startDeploy(
  { ironic }: IronicLab,
  machine: QemuMachine,
  uuid: string,
  info: Record<string, unknown>,
): Promise<Deployed> {
  const from = await machine.serial.end()
  await ironic.setInstanceInfo(uuid, info)
  await ironic.provision(uuid, 'active', {
    configdrive: {
      meta_data: { hostname: machine.name, uuid },
      user_data: `#!/bin/sh\necho ${machine.name}\n`,
    },
  })
  return { uuid, from }
}

/** Deploys and waits until Ironic says `active` and the instance says that it is up. */
export async function deploy(
  lab: IronicLab,
  machine: QemuMachine,
  uuid: string,
  info = instanceInfo(lab),
): Promise<{ words: string; console: string; seconds: number; from: number }> {
  const began = performance.now()
  const { from } = await startDeploy(lab, machine, uuid, info)
  const isOver = new AbortController()
  const mute = refuseMute(machine, MUTE_MS[lab.accelerator], isOver.signal)
  const active = lab.ironic.waitFor(uuid, ['active'], DEPLOY_TIMEOUT_MS)
  await Promise.race([active, mute.then(() => active)]).finally(() => isOver.abort())
  const seconds = (performance.now() - began) / 1000
  const ready = await waitForInstance(machine, from)
  return { ...ready, seconds, from }
}

/** The instance's own words: its marker, and all it has printed since `from`. */
export async function waitForInstance(
  machine: QemuMachine,
  from: number,
): Promise<{ words: string; console: string }> {
  const timing = { timeoutMs: INSTANCE_TIMEOUT_MS, from }
  const [words] = await machine.serial.waitFor(/IRONSWARM-INSTANCE READY.*\n/, timing)
  await machine.serial.waitFor(/login: *$/, timing)
  return { words: words.trim(), console: await machine.serial.text(from) }
}

/** Logs in at the instance's serial console, as its issue says, and waits for the shell. */
export async function logIn(machine: QemuMachine): Promise<void> {
  const from = await machine.serial.end()
  await machine.type('root\n')
  const timing = { timeoutMs: INSTANCE_TIMEOUT_MS, from }
  await machine.serial.waitFor(/# *$/, timing)
  await machine.type('echo uid=$(id -u)\n')
  await machine.serial.waitFor(/^uid=0$/m, timing)
}

/** Bytes of the image by where they came from, as the agent has logged them since `from`. */
export async function loggedBytes(
  { serial }: QemuMachine,
  from: number,
): Promise<{ peers: number; origin: number }> {
  const [line] = await serial.waitFor(/^.*"msg":"write image finished".*$/m, {
    timeoutMs: 1000,
    from,
  })
  return (JSON.parse(line) as { bytes: { peers: number; origin: number } }).bytes
}

/** What to look at first when a test fails; call it in the test. */
export function showLogsOnFailure(lab: IronicLab, machines: readonly QemuMachine[]): void {
  onTestFailed(async () => {
    for (const { name, serial } of machines) {
      const lines = (await serial.text()).trimEnd().split('\n')
      console.log(`--- ${name}, end of ${serial.path}\n${lines.slice(-25).join('\n')}`)
    }
    const log = (await lab.ironic.conductorLog()).split('\n')
    const worries = log.filter((line) => / (WARNING|ERROR) /.test(line)).slice(-12)
    console.log(`--- conductor\n${worries.join('\n')}`)
  })
}

/** One line per machine: power-on to heartbeat, deploy, boot. */
export function report(name: string, figures: Record<string, number>): void {
  const words = Object.entries(figures).map(([what, seconds]) => `${what} ${seconds.toFixed(1)} s`)
  console.log(`${name}: ${words.join(', ')}`)
}
