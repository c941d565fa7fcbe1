import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../../agent/core/errors.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import { bringUpVlans } from '../../../../agent/system/network/vlans.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'

const NICS = [
  { ifname: 'lo', link_type: 'loopback' },
  { ifname: 'eno1', address: '52:54:00:00:00:01' },
  { ifname: 'eno2', address: '52:54:00:00:00:09', permaddr: '52:54:00:00:00:02' },
]
const VLAN_5 = {
  ...{ ifname: 'blue', link: 'eno1', address: '52:54:00:00:00:01' },
  linkinfo: { info_kind: 'vlan', info_data: { id: 5 } },
}

interface Machine {
  readonly links?: readonly object[]
  /** Commands of ip that fail, by their beginning. */
  readonly failing?: readonly string[]
  /** What is heard on an interface: ids of VLANs. */
  readonly heard?: Readonly<Record<string, readonly number[]>>
}

/** The capture of one frame of a switch that names VLANs. */
function captureOf(ids: readonly number[]): Buffer {
  const tlv = (type: number, value: readonly number[]) => [
    ...[(type << 1) | (value.length >> 8), value.length & 0xff],
    ...value,
  ]
  const vlan = (id: number) => tlv(127, [0x00, 0x80, 0xc2, 0x03, id >> 8, id & 0xff, 1, 0x76])
  const other = tlv(127, [0x00, 0x80, 0xc2, 0x01, 0x00, 0x63])
  const head = [0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc]
  const first = [...tlv(1, [4, 1, 2, 3, 4, 5, 6]), ...tlv(2, [7, 1]), ...tlv(3, [0, 120])]
  const frame = Buffer.from([...head, ...first, ...other, ...ids.flatMap(vlan), 0, 0])
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4)
  const record = Buffer.alloc(16)
  record.writeUInt32LE(frame.length, 8)
  record.writeUInt32LE(frame.length, 12)
  return Buffer.concat([header, record, frame])
}

let runDir: string
beforeEach(async () => {
  runDir = await mkdtemp(join(tmpdir(), 'ironswarm-vlans-'))
})
afterEach(() => rm(runDir, { recursive: true, force: true }))

async function vlansOf(wanted: readonly string[], machine: Machine = {}) {
  const calls: string[] = []
  const lines: string[] = []
  const listened: string[] = []
  const exec: Exec = async (argv, options = {}) => {
    const line = argv.join(' ')
    if (line === 'ip -details -json link show') {
      const stdout = JSON.stringify(machine.links ?? NICS)
      return { stdout, stderr: '', exitCode: 0 }
    }
    if (argv.includes('tcpdump')) {
      listened.push(argv[argv.indexOf('-i') + 1] as string)
      const name = argv[argv.indexOf('-i') + 1] as string
      const ids = machine.heard?.[name]
      if (ids) options.onStdout?.(captureOf(ids))
      else
        await new Promise((resolve) => options.signal?.addEventListener('abort', () => resolve(0)))
      return { stdout: '', stderr: '', exitCode: 0 }
    }
    calls.push(line)
    if (machine.failing?.some((start) => line.startsWith(start))) {
      throw new AgentError('ProcessError', 'ip: exit code 2: No')
    }
    return { stdout: '', stderr: '', exitCode: 0 }
  }
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  const made = await bringUpVlans(
    { wanted, lldpSilenceMs: 50, linkWaitMs: 0, runDir },
    { exec, log, signal: new AbortController().signal },
  )
  return { made, calls, listened, said: lines.join('') }
}

describe('VLAN interfaces', () => {
  test.each([
    ['the name of an interface', 'eno1.100', 'eno1'],
    ['its MAC address', '52:54:00:00:00:01.100', 'eno1'],
    ['the MAC address that it was made with, in capitals', '52:54:00:00:00:02.100', 'eno2'],
  ])('are made by %s', async (_what, wanted, link) => {
    const { made, calls } = await vlansOf([wanted.toUpperCase().replace('ENO', 'eno')])
    expect(made).toEqual([`${link}.100`])
    expect(calls).toEqual([
      `ip link set dev ${link} up`,
      `ip link add link ${link} name ${link}.100 type vlan id 100`,
      `ip link set dev ${link}.100 up`,
    ])
  })

  test.each([
    ['all', { eno1: [10, 20], eno2: [30] }, ['eno1.10', 'eno1.20', 'eno2.30']],
    ['eno2', { eno1: [10], eno2: [30, 30] }, ['eno2.30']],
    ['52:54:00:00:00:01', { eno1: [10], eno2: [30] }, ['eno1.10']],
    ['all', { eno2: [0, 1, 4094, 4095] }, ['eno2.1', 'eno2.4094']],
  ])('are those that the switch names, for %s', async (wanted, heard, names) => {
    const { made } = await vlansOf([wanted], { heard })
    expect(made).toEqual(names)
  })

  test('that are there already are taken as they are, whatever their name', async () => {
    const { made, calls } = await vlansOf(['eno1.5'], { links: [...NICS, VLAN_5] })
    expect(made).toEqual(['blue'])
    expect(calls).toEqual(['ip link set dev eno1 up', 'ip link set dev blue up'])
  })

  test('wanted twice are made once', async () => {
    const { made, calls } = await vlansOf(['eno1.7', '52:54:00:00:00:01.7'])
    expect(made).toEqual(['eno1.7'])
    expect(calls.filter((line) => line.includes(' add '))).toHaveLength(1)
  })

  test('of which one half cannot be made leave nothing behind, and the others are made', async () => {
    const failing = ['ip link set dev eno1.7 up']
    const { made, calls, said } = await vlansOf(['eno1.7', 'eno1.8'], { failing })
    expect(made).toEqual(['eno1.8'])
    expect(calls).toContain('ip link delete dev eno1.7')
    expect(said).toContain('ip link set dev eno1.7 up')
  })

  test.each([
    ['eno9.5', 'there is no interface eno9'],
    ['eno1.0', '0 is not from 1 to 4094'],
    ['eno1.4095', '4095 is not from 1 to 4094'],
    ['blue', 'there is no interface blue'],
    ['-6.5', 'there is no interface -6'],
  ])('are not made for %s: %s', async (wanted, words) => {
    const { made, calls, said } = await vlansOf([wanted], { links: [...NICS] })
    expect([made, calls]).toEqual([[], []])
    expect(said).toContain(words)
  })

  test('are asked of a switch once in a boot, whether it answered or not', async () => {
    const heard = { eno1: [10] }
    expect((await vlansOf(['eno1'], { heard })).made).toEqual(['eno1.10'])
    const second = await vlansOf(['all'], { heard: { ...heard, eno2: [30] } })
    expect([second.made, second.listened]).toEqual([['eno2.30'], ['eno2']])
    expect((await vlansOf(['all'], { heard })).listened).toEqual([])
    expect((await vlansOf(['eno1.7'])).made).toEqual(['eno1.7'])
  })

  test('are not made where no switch says a word', async () => {
    const { made } = await vlansOf(['all'])
    expect(made).toEqual([])
  })
})
