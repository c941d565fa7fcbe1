// SPDX-License-Identifier: Apache-2.0
// Owns `make vm`: boots machines into the ramdisk, has Ironic's stand-in deploy the image to them, boots
// their disks and waits for the instance's marker. Exit code 0 only if every machine came that far.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { formatBytes, formatRate } from '../../../agent/core/units.ts'
import type { DeployOutcome } from '../../support/fake-ironic/conductor.ts'
import { rejectedBy, runInterruptibly } from '../../support/interrupts.ts'
import { bootTimes, formatBootTimes } from '../../support/vm/boot-times.ts'
import { MUTE_MS, refuseMute } from '../../support/vm/mute-serial.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { createScreen, type Screen } from './screen.ts'
import { PROJECT, readSettings, type VmSettings } from './settings.ts'

const FOLDER = join(PROJECT, 'build/vm')
const LOOK_EVERY_MS = 1000
const INSTANCE_TIMEOUT_MS = 300_000
const READY = /IRONSWARM-INSTANCE READY.*/

interface Result {
  readonly machine: QemuMachine
  readonly outcome: DeployOutcome
  /** What is wrong; undefined when the instance runs. */
  readonly fault: string | undefined
  readonly secondsToHeartbeat: number | undefined
  /** Where the time of the first boot went, in words. */
  readonly boot: string | undefined
  readonly secondsToReady: number | undefined
}

async function vm(settings: VmSettings, signal: AbortSignal): Promise<boolean> {
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  await using lab = await createVmLab(settings, FOLDER)
  const { accelerator, machines, source } = lab
  const screen = createScreen((line) => console.log(line), elapsed)
  console.log(
    `vm: ${settings.nodes} × ${settings.firmware}, ${settings.memoryMib} MiB, ${accelerator}, boot by ${settings.boot}; ` +
      `${settings.image} (${formatBytes(source.image.sizeBytes)}), ${settings.isSwarm ? 'over a swarm' : 'by HTTP'}`,
  )
  console.log(`vm: serial logs in ${FOLDER}/*.serial.log; Ctrl-C cleans up`)
  watchApi(lab, screen)
  const isOver = new AbortController()
  const watching = machines.map((machine) => watchProgress(lab, machine, screen, isOver.signal))
  try {
    const all = Promise.all(
      machines.map((machine) => deployAndBoot(lab, machine, settings, { screen, signal })),
    )
    const results = await Promise.race([all, rejectedBy(signal)])
    return summarize(lab, results, elapsed())
  } finally {
    isOver.abort()
    await Promise.all(watching)
  }
}

async function deployAndBoot(
  lab: VmLab,
  machine: QemuMachine,
  settings: VmSettings,
  { screen, signal }: { screen: Screen; signal: AbortSignal },
): Promise<Result> {
  const { image, origin, torrentUrl } = lab.source
  const began = performance.now()
  let secondsToHeartbeat: number | undefined
  const hasSpoken = new AbortController()
  lab.ironic.events.on('api', ({ path }) => {
    if (!path.includes(`/heartbeat/${machine.uuid}`)) return
    secondsToHeartbeat ??= (performance.now() - began) / 1000
    hasSpoken.abort()
  })
  const mute = refuseMute(machine, MUTE_MS[lab.accelerator], hasSpoken.signal)
  const deploying = lab.ironic.deploy(machine.uuid, {
    imageInfo: {
      urls: [origin.url],
      disk_format: 'raw',
      os_hash_algo: 'sha512',
      os_hash_value: image.sha512,
    },
    configdrive: await lab.configDrive(machine),
    bootMode: settings.firmware,
    instanceInfo: settings.isSwarm ? { image_torrent_file: torrentUrl } : {},
  })
  const outcome = await Promise.race([deploying, mute.then(() => deploying)])
  const times = bootTimes(await machine.serial.text())
  const boot = times && formatBootTimes(times)
  const result = { machine, outcome, secondsToHeartbeat, boot, secondsToReady: undefined }
  if (outcome.state !== 'active') return { ...result, fault: outcome.error ?? outcome.state }
  screen.line(machine.name, `deployed in ${outcome.seconds.toFixed(1)} s; boots its disk`)
  await machine.powerOff()
  bootFromDisk(machine)
  const from = await machine.serial.end()
  const switchedOn = performance.now()
  await machine.powerOn()
  try {
    const timing = { timeoutMs: INSTANCE_TIMEOUT_MS, from, signal }
    const [words] = await machine.serial.waitFor(READY, timing)
    await machine.serial.waitFor(/login: *$/, timing)
    screen.line(machine.name, words)
    const secondsToReady = (performance.now() - switchedOn) / 1000
    return { ...result, fault: wrongWords(words, machine, settings), secondsToReady }
  } catch (error) {
    return { ...result, fault: error instanceof Error ? error.message : String(error) }
  }
}

/** The instance names its firmware and the host name of its config drive. */
function wrongWords(words: string, { name }: QemuMachine, { firmware }: VmSettings) {
  if (!words.includes(`firmware=${firmware}`)) return `the instance did not boot by ${firmware}`
  // an image of somebody else's says nothing of a host name
  if (words.includes('hostname=') && !words.includes(`hostname=${name}`)) {
    return 'the config drive of another machine, or none, is on the disk'
  }
  return undefined
}

function watchApi({ ironic, machines }: VmLab, screen: Screen): void {
  const nameOf = (text: string) =>
    machines.find(({ uuid, mac }) => text.includes(uuid) || text.includes(mac))?.name
  ironic.events.on('api', (call) => {
    const name = nameOf(decodeURIComponent(call.path))
    if (name) screen.api(name, call)
  })
  ironic.events.on('state', ({ name, state }) => screen.line(name, `node: ${state}`))
}

/** Milestones of the serial console, and of the agent's status while it writes. */
async function watchProgress(
  lab: VmLab,
  machine: QemuMachine,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  let from = 0
  while (!signal.aborted) {
    const [text, end] = [await machine.serial.text(from), await machine.serial.end()]
    from = end
    for (const [, words] of text.matchAll(/(?:====.*Z \S+ |ironswarm: )(.*)/g)) {
      screen.line(machine.name, words as string)
    }
    if (machine.isOn()) await showStatus(lab, machine, screen)
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
  }
}

async function showStatus(lab: VmLab, machine: QemuMachine, screen: Screen): Promise<void> {
  const status = await lab.ironic.agentStatus(machine.uuid)
  const progress = status?.['progress'] as Record<string, unknown> | undefined
  if (typeof progress?.['percent'] !== 'number') return
  const rate = progress['unit'] === 'bytes' ? Number(progress['rate_per_second']) : 0
  const more = rate > 0 ? formatRate(rate) : ''
  screen.progress(machine.name, String(progress['step']), progress['percent'], more)
}

function summarize(lab: VmLab, results: readonly Result[], seconds: number): boolean {
  const good = results.filter(({ fault }) => fault === undefined).length
  const { origin, image } = lab.source
  console.log(
    `\n${good} of ${results.length} machines run their instance, ${seconds.toFixed(1)} s in all`,
  )
  console.log(
    `origin sent ${formatBytes(origin.bytesSent)}, ${(origin.bytesSent / image.sizeBytes).toFixed(2)} × the image`,
  )
  for (const { machine, outcome, fault, secondsToHeartbeat, boot, secondsToReady } of results) {
    const figures = [
      `first heartbeat ${secondsToHeartbeat?.toFixed(1) ?? '-'} s after power-on`,
      `deploy ${outcome.seconds.toFixed(1)} s`,
      `instance ready ${secondsToReady?.toFixed(1) ?? '-'} s after power-on`,
    ]
    const verdict = fault === undefined ? 'ok    ' : 'FAILED'
    console.log(`  ${machine.name}  ${verdict}  ${figures.join(', ')}${fault ? `; ${fault}` : ''}`)
    if (boot !== undefined) console.log(`          ${boot}`)
    console.log(`          serial log: ${machine.serial.path}`)
  }
  return good === results.length
}

await runInterruptibly('vm', async (signal) => await vm(await readSettings(process.env), signal))
