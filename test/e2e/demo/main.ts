// SPDX-License-Identifier: Apache-2.0
// Owns `make demo`: deploys all machines of the laboratory at once, shows how it goes, and says at the
// end whether every disk is right. Exit code 0 only if every node ended as it should.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { DeployOutcome } from '../../support/fake-ironic/conductor.ts'
import { rejectedBy, runInterruptibly } from '../../support/interrupts.ts'
import { createDisplay } from './display.ts'
import { createLab, type Lab } from './lab.ts'
import type { Machine } from './machine.ts'
import { emptyRow, loggedBytes, type NodeRow, nextRow } from './node-progress.ts'
import { type DemoSettings, PROJECT, readSettings } from './settings.ts'
import { faultsOf, type NodeResult, summaryLines } from './summary.ts'
import { verifyDisk } from './verify-disk.ts'

const LOOK_EVERY_MS = 500
const LOGS = join(PROJECT, 'build/demo/logs')

/** Deploys and verifies; false if a node did not end as it should. */
async function demo(settings: DemoSettings, signal: AbortSignal): Promise<boolean> {
  console.log(
    `demo: ${settings.nodes} nodes, ${settings.image}, swarm ${settings.swarm}; Ctrl-C cleans up`,
  )
  await using lab = await createLab(settings, signal)
  const began = performance.now()
  const outcomes = await deployAll(lab, settings, signal)
  const seconds = (performance.now() - began) / 1000
  const nodes: NodeResult[] = []
  for (const [i, machine] of lab.machines.entries()) {
    signal.throwIfAborted()
    const outcome = outcomes[i] as DeployOutcome
    // a failed deploy may leave anything but the image; its error is the news
    const verdict =
      outcome.state === 'active'
        ? await verifyDisk(machine.disk, settings.image, machine.configDrive?.iso)
        : { comparedBytes: 0, faults: [] }
    nodes.push({ machine, outcome, bytes: loggedBytes(await machine.log()), verdict })
  }
  const { imageBytes, swarm } = settings
  const result = { nodes, seconds, originBytes: lab.origin.bytesSent, imageBytes, swarm }
  for (const line of summaryLines(result)) console.log(line)
  await keepLogs(lab)
  const isGood = nodes.every((node) => faultsOf(node).length === 0)
  if (!isGood) console.log(`demo: FAILED; the agents' logs are in ${LOGS}`)
  return isGood
}

async function deployAll(lab: Lab, settings: DemoSettings, signal: AbortSignal) {
  const rows = new Map<Machine, NodeRow>(lab.machines.map((one) => [one, emptyRow(one.name)]))
  const display = createDisplay(process.stdout)
  const began = performance.now()
  const frame = () => ({
    rows: [...rows.values()],
    seconds: (performance.now() - began) / 1000,
    originRatio: lab.origin.bytesSent / settings.imageBytes,
  })
  const isOver = new AbortController()
  const watching = (async () => {
    while (!isOver.signal.aborted) {
      await Promise.all(lab.machines.map((machine) => look(lab, machine, rows)))
      display.show(frame())
      await delay(LOOK_EVERY_MS, undefined, { signal: isOver.signal }).catch(() => {})
    }
  })()
  try {
    const outcomes = await Promise.race([
      Promise.all(lab.machines.map((machine) => deploy(lab, machine))),
      rejectedBy(signal),
    ])
    return outcomes
  } finally {
    isOver.abort()
    await watching
    await Promise.all(lab.machines.map((machine) => look(lab, machine, rows)))
    display.end(frame())
  }
}

/** The conductor would wait half an hour for an agent that crashed; the demo does not. */
async function deploy(lab: Lab, machine: Machine): Promise<DeployOutcome> {
  const began = performance.now()
  const crash = machine.crashed.then(
    (how): DeployOutcome => ({
      state: 'deploy failed',
      error: `the agent ended with ${how} in the middle of the deploy`,
      contractViolated: false,
      seconds: (performance.now() - began) / 1000,
      logBundle: null,
      partitionUuids: null,
      writeResult: null,
      poweredOffItself: false,
      skippedSteps: [],
    }),
  )
  const outcome = lab.ironic.deploy(machine.uuid, {
    imageInfo: {
      urls: [lab.origin.url],
      disk_format: 'raw',
      os_hash_algo: 'sha512',
      os_hash_value: lab.sha512,
    },
    configdrive: machine.configDrive?.payload ?? null,
    bootMode: 'uefi',
    instanceInfo: lab.torrentUrl ? { image_torrent_file: lab.torrentUrl } : {},
  })
  return Promise.race([outcome, crash])
}

async function look(lab: Lab, machine: Machine, rows: Map<Machine, NodeRow>): Promise<void> {
  await machine.measure()
  const status = machine.isOn() ? await lab.ironic.agentStatus(machine.uuid) : undefined
  const state = lab.ironic.nodes.get(machine.uuid)?.state ?? 'unknown'
  const before = rows.get(machine) ?? emptyRow(machine.name)
  rows.set(machine, nextRow(before, state, status))
}

async function keepLogs(lab: Lab): Promise<void> {
  await mkdir(LOGS, { recursive: true })
  for (const machine of lab.machines) {
    await machine.keepLog(join(LOGS, `${machine.name}.log`)).catch(() => undefined)
  }
}

await runInterruptibly(
  'demo',
  async (signal) => await demo(await readSettings(process.env), signal),
)
