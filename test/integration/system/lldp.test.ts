// The listener at one end of a cable, a real lldpd or somebody who means ill at the other.
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasPackages } from '../../support/packages.ts'
import { stopChild } from '../../support/processes.ts'
import { until } from '../swarm/lab.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine, runOn } from '../swarm/namespaces.ts'
import type { ListenerRequest } from './lldp-process.ts'
import { type Place, startLldpd, startOn } from './switch.ts'

const canListen = canMakeNetworks() && hasPackages('lldp')
/** Longer than any test: what ends before has not ended because of it. */
const LONG_MS = 60_000

interface Heard {
  readonly heard: Record<string, [number, string][]> | null
  readonly rack: string | null
  readonly log: string[]
}

/** @param path where commands are looked for, if not where they usually are */
function listen(place: Place, request: Partial<ListenerRequest> = {}, path?: string) {
  const script = join(import.meta.dirname, 'lldp-process.ts')
  const whole: ListenerRequest = { interfaces: ['eth0'], silenceMs: LONG_MS, ...request }
  const setting = path === undefined ? [] : ['env', `PATH=${path}`]
  const child = startOn(place, [...setting, process.execPath, script, JSON.stringify(whole)])
  let text = ''
  const listening = Promise.withResolvers<void>()
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (text.includes('listening')) listening.resolve()
  })
  const heard = new Promise<Heard>((resolve) => {
    child.once('close', () => resolve(JSON.parse(/^\{.*\}$/m.exec(text)?.[0] ?? 'null')))
  })
  return {
    child,
    listening: listening.promise,
    heard,
    [Symbol.asyncDispose]: () => stopChild(child),
  }
}

/** Ethernet frames to the group of LLDP, by the one language that is on every Debian. */
function sendFrames(core: Place, payloads: readonly string[]): void {
  const script = `
    socket(S, 17, 3, 0) or die $!; my $i = (split ' ', \`ip -o link show p0\`)[0]; $i =~ s/://;
    bind(S, pack("S n i x12", 17, 0x88cc, $i)) or die $!;
    for (@ARGV) { send(S, pack("H*", "0180c200000e02000000000188cc" . $_), 0) or die $! }`
  runOn(core, 'perl', '-e', script, ...payloads)
}

function tcpdumpsOn(place: Place): number {
  const network = runOn(place, 'readlink', '/proc/self/ns/net').trim()
  const isOurs = (pid: string) => {
    try {
      const isThere = readlinkSync(`/proc/${pid}/ns/net`) === network
      return isThere && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('tcpdump\0')
    } catch {
      return false // gone meanwhile
    }
  }
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOurs(name)).length
}

function macOf(place: Place, name: string): string {
  const [link] = JSON.parse(runOn(place, 'ip', '-json', 'link', 'show', name)) as {
    address: string
  }[]
  return (link?.address ?? '').replaceAll(':', '')
}

/** Chassis 0a:0b:0c:0d:0e:0f by its MAC address, a port, 120 s, the end. */
const VALID = '0207040a0b0c0d0e0f0403057070060200780000'

test.runIf(canListen)('what lldpd says comes as TLVs, and its chassis names the rack', async () => {
  await using network = createLabNetwork(1)
  const [machine] = network.machines as [LabMachine]
  await using listener = listen(machine)
  await using rack = listen(machine, { towards: '10.78.0.99' })
  await Promise.all([listener.listening, rack.listening])
  await using _switch = startLldpd(network.core)
  const { heard } = await listener.heard
  const tlvs = heard?.['eth0'] ?? []
  expect(tlvs.slice(0, 3).map(([type]) => type)).toEqual([1, 2, 3])
  expect(tlvs[1]).toEqual([2, `03${macOf(network.core, 'p0')}`])
  expect(tlvs.at(-1)).toEqual([0, ''])
  const chassis = tlvs[0]?.[1] ?? ''
  expect(chassis).toMatch(/^04[0-9a-f]{12}$/)
  expect((await rack.heard).rack).toBe(`lldp:4:${chassis.slice(2)}`)
  expect(tcpdumpsOn(machine)).toBe(0)
})

test.runIf(canListen)('where nothing is said it ends with an empty list', async () => {
  await using network = createLabNetwork(1)
  const [machine] = network.machines as [LabMachine]
  await using listener = listen(machine, { silenceMs: 1500 })
  await listener.listening
  expect(await listener.heard).toMatchObject({ heard: { eth0: [] } })
  expect(tcpdumpsOn(machine)).toBe(0)
})

test.runIf(canListen)('an interface that goes away ends it early', async () => {
  await using network = createLabNetwork(1)
  const [machine] = network.machines as [LabMachine]
  await using listener = listen(machine, { interfaces: ['eth0', 'none0'] })
  await listener.listening
  runOn(network.core, 'ip', 'link', 'delete', 'p0')
  const { heard, log } = await listener.heard
  expect(heard).toEqual({ eth0: [], none0: [] })
  const { failures } = JSON.parse(log.join(''))
  expect(Object.keys(failures).sort()).toEqual(['eth0', 'none0'])
})

test.runIf(canListen)('frames that are no LLDP are passed over', async () => {
  await using network = createLabNetwork(1)
  const [machine] = network.machines as [LabMachine]
  await using listener = listen(machine)
  await listener.listening
  const cutShort = '02ff04'
  const withoutChassis = VALID.slice(18)
  sendFrames(network.core, [
    '',
    '00',
    cutShort,
    withoutChassis,
    'f'.repeat(2400),
    VALID,
    VALID.replace('0a0b', 'ffff'),
  ])
  const { heard } = await listener.heard
  expect(heard?.['eth0']).toEqual([
    [1, '040a0b0c0d0e0f'],
    [2, '057070'],
    [3, '0078'],
    [0, ''],
  ])
})

test.runIf(canListen)('without tcpdump one line says so, and there is no rack', async () => {
  await using network = createLabNetwork(1)
  const [machine] = network.machines as [LabMachine]
  const folder = mkdtempSync(join(tmpdir(), 'ironswarm-no-tcpdump-'))
  for (const tool of ['timeout', 'ip']) {
    symlinkSync(runOn(machine, 'sh', '-c', `command -v ${tool}`).trim(), join(folder, tool))
  }
  await using listener = listen(machine, { interfaces: ['eth0', 'lo'] }, folder)
  await using rack = listen(machine, { towards: '10.78.0.99' }, folder)
  const { heard, log } = await listener.heard
  expect(heard).toBeNull()
  expect(log.map((line) => JSON.parse(line).msg)).toEqual([
    expect.stringContaining('tcpdump is not installed'),
  ])
  expect((await rack.heard).rack).toBeNull()
  rmSync(folder, { recursive: true })
})

test.runIf(canListen)('tcpdump ends soon after an agent that was killed', async () => {
  await using network = createLabNetwork(1)
  const [machine] = network.machines as [LabMachine]
  await using listener = listen(machine, { silenceMs: 2000 })
  await listener.listening
  expect(tcpdumpsOn(machine)).toBe(1)
  listener.child.kill('SIGKILL')
  await until(() => tcpdumpsOn(machine) === 0, 'the end of tcpdump')
})
