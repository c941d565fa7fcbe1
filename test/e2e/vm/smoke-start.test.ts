// What the ramdisk starts is the agent of these sources: its options, versions and answers, by one Node.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../integration/cli/ironswarm.ts'
import { startAgent } from '../../support/agent-process.ts'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'
import { bootsKernel } from '../../support/vm/accelerator.ts'
import { bootTimes, formatBootTimes } from '../../support/vm/boot-times.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { createProbe, PROBE_WORDS, type ProbeReport } from '../../support/vm/probed-ramdisk.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { agentClientOf } from './agent-steps.ts'
import { createVmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/start')
const BOOT_TIMEOUT_MS = 600_000
const STRANGER = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c123', mac: '52:54:00:00:00:01' }
/** Members of the log bundle that BusyBox has a part in (contract 5.8). */
const LOG_MEMBERS = ['df', 'dmesg', 'lsblk', 'ps', 'var/log/ironswarm.log']
/** Contract 5, and one that no agent has. */
const EXTENSIONS = 'clean deploy flow image log poll rescue standby unheard_of'.split(' ')
const COMMANDS = [
  'cat /proc/cmdline',
  '/usr/bin/ironswarm config --json',
  '/usr/bin/ironswarm --version',
  '/usr/bin/node --version',
]

/** Names and sizes, in bytes, of what lies in the log bundle of a node; unpacked into the folder. */
async function logMembers(ironic: FakeIronic, nodeUuid: string, folder: string): Promise<string[]> {
  const answer = await agentClientOf(ironic, nodeUuid).command('log.collect_system_logs', {}, true)
  const { system_logs } = answer.command_result as { system_logs: string }
  await writeFile(join(folder, 'logs.tar.gz'), Buffer.from(system_logs, 'base64'))
  await promisify(execFile)('tar', ['-C', folder, '-xzf', join(folder, 'logs.tar.gz')])
  return (await readdir(folder, { recursive: true })).sort()
}

/** What the agent of a node says of itself to a conductor. */
async function answersOf(ironic: FakeIronic, nodeUuid: string): Promise<Record<string, unknown>> {
  const client = agentClientOf(ironic, nodeUuid)
  const answers: Record<string, unknown> = {}
  for (const name of ['deploy.get_deploy_steps', 'clean.get_clean_steps']) {
    const { command_result } = await client.command(name, { node: {}, ports: [] }, true)
    answers[name] = command_result
  }
  for (const extension of EXTENSIONS) {
    const refusal = await client.command(`${extension}.unheard_of`, {}, true).catch(String)
    answers[extension] = refusal
  }
  const status = await client.status()
  return { ...answers, status: Object.keys(status).sort(), version: status['version'] }
}

/** This computer may have podman or docker, the ramdisk has neither. */
function withoutContainers(answers: Record<string, unknown>): Record<string, unknown> {
  const text = JSON.stringify(answers, (key, value) =>
    key === 'ContainerHardwareManager' ? undefined : value,
  )
  return JSON.parse(text)
}

describe.skipIf(!canBootMachines())('what the ramdisk starts', () => {
  let machineSays: ProbeReport
  let machineAnswers: Record<string, unknown>
  let logs: string
  let members: string[]
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-start-'))
    await using lab = await createVmLab(
      {
        nodes: 1,
        boot: 'direct',
        firmware: 'bios',
        image: SMALL_IMAGE,
        ramdisk: findRamdisk(process.env),
        memoryMib: 512,
        isSwarm: false,
      },
      FOLDER,
      'any',
    )
    const [machine] = lab.machines
    const kernel = machine?.setup.kernel
    if (!machine || !kernel) throw new Error('the laboratory has no machine with a kernel')
    await using probe = await createProbe(kernel.initramfs, COMMANDS, FOLDER)
    const { initramfs } = probe
    machine.setup.kernel = { ...kernel, initramfs, cmdline: `${kernel.cmdline} ${PROBE_WORDS}` }
    await machine.powerOn()
    // a machine that does not come so far is shown by the end of its log
    const timing = { timeoutMs: BOOT_TIMEOUT_MS }
    const [words] = await machine.serial.waitFor(/"msg":"heartbeat sent"|Kernel panic.*/, timing)
    expect(words).not.toContain('panic')
    machineSays = await probe.report
    machineAnswers = await answersOf(lab.ironic, machine.uuid)
    logs = await mkdtemp(join(directory, 'logs-'))
    members = await logMembers(lab.ironic, machine.uuid, logs)
    const times = bootTimes(await machine.serial.text())
    if (times) console.log(`${machine.name}: ${formatBootTimes(times)}`)
  }, 2 * BOOT_TIMEOUT_MS)

  afterAll(() => rm(directory, { recursive: true, force: true }))

  test('is one Node up to the first heartbeat', () => {
    const { programs } = machineSays
    expect(programs).toContain('/usr/bin/ironswarm')
    expect(programs.filter((path) => path.includes('node'))).toEqual(['/usr/bin/node'])
  })

  test('has the version of the sources, on the Node that the project pins', async () => {
    const [, , version, node] = machineSays.outputs
    expect(version).toBe((await run('--version')).stdout)
    expect(node).toBe(`${process.version}\n`)
  })

  test('has the options of the sources, with the values they have for the same kernel line', async () => {
    const [cmdline = '', options = ''] = machineSays.outputs
    await mkdir(join(directory, 'proc'))
    await writeFile(join(directory, 'proc/cmdline'), cmdline)
    const ofSources = JSON.parse((await run('config', '--json', '--os-root', directory)).stdout)
    const ofMachine = JSON.parse(options)
    expect(Object.keys(ofMachine)).toEqual(Object.keys(ofSources))
    expect(ofMachine).toEqual({ ...ofSources, os_root: { value: '/', origin: 'default' } })
    expect(ofMachine['api_url'].value).not.toEqual([])
  })

  test('collects its logs by what BusyBox understands, and says what it has no program for', async () => {
    for (const name of LOG_MEMBERS) expect(members).toContain(name)
    const journal = await readFile(join(logs, 'var/log/ironswarm.log'), 'utf8')
    expect(journal).toContain('"msg":"heartbeat sent"')
    const leftOut = await readFile(join(logs, 'left_out'), 'utf8')
    const lines = leftOut.trimEnd().split('\n')
    // without a LUN of several paths nothing loads the driver of maps
    const told =
      /command not found|is not there|is not text|EFI variables are not supported|DM multipath kernel driver not loaded/
    expect(lines.filter((line) => !told.test(line))).toEqual([])
    expect(leftOut).toMatch(/^iptables: iptables: command not found/m)
  })

  test(
    'is a kernel that the try of an accelerator takes for one',
    async () => {
      const { kernel } = findRamdisk(process.env)
      expect(await bootsKernel(kernel, 'tcg', BOOT_TIMEOUT_MS)).toBe(true)
    },
    BOOT_TIMEOUT_MS,
  )

  test('answers as an agent of the sources does: extensions, steps, status', async () => {
    await using ironic = await createFakeIronic({ nodes: [STRANGER], fastTrack: true })
    const device = join(directory, 'disk')
    await writeFile(device, new Uint8Array(1024 * 1024))
    await using _agent = await startAgent({
      name: 'sources',
      mac: STRANGER.mac,
      device,
      apiUrl: ironic.url,
      directory: join(directory, 'agent'),
    })
    await expect
      .poll(() => ironic.nodes.get(STRANGER.uuid)?.agentUrl, { timeout: 60_000 })
      .not.toBeNull()
    const answers = await answersOf(ironic, STRANGER.uuid)
    expect(machineAnswers).toEqual(withoutContainers(answers))
    expect(machineAnswers['standby']).toContain('Unknown command')
    expect(machineAnswers['unheard_of']).toContain('Extension with id unheard_of not found')
  })
})
