import { describe, expect, test } from 'vitest'
import { findSwitchRack } from '../../../agent/hardware/switch-rack.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { machineWith } from './machine-fixture.ts'

const log = createLogger({ level: 'silent' })

/** A capture with one LLDP frame of the chassis with this MAC address. */
function captureOf(mac: string): Buffer {
  const frame = Buffer.from(`0180c200000e02000000000188cc020704${mac}0403057031060200780000`, 'hex')
  const header = Buffer.from(`d4c3b2a1${'00'.repeat(28)}`, 'hex')
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32LE(frame.length, 0)
  lengths.writeUInt32LE(frame.length, 4)
  return Buffer.concat([header, lengths, frame])
}

async function rackOn(options: {
  route: string
  files?: Record<string, string>
  captures: Record<string, string>
}) {
  await using machine = await machineWith(options.files, { 'ip -json route': options.route })
  const heardOn: string[] = []
  const exec: Exec = async (argv, execOptions = {}) => {
    if (argv[0] !== 'timeout') return await machine.exec(argv, execOptions)
    const name = argv[argv.indexOf('-i') + 1] as string
    heardOn.push(name)
    const mac = options.captures[name]
    if (mac !== undefined) execOptions.onStdout?.(captureOf(mac))
    return { stdout: '', stderr: '', exitCode: 0 }
  }
  const request = { towards: ['192.0.2.1'], silenceMs: 60_000 }
  const rack = await findSwitchRack(request, { exec, root: machine.root, log })
  return { rack, heardOn }
}

const route = (dev: string) => JSON.stringify([{ dst: '192.0.2.1', dev, prefsrc: '192.0.2.2' }])

describe('the rack by the switch', () => {
  test('is the chassis heard where packets to Ironic leave, and nowhere else', async () => {
    const captures = { eno1: '0a0b0c0d0e0f', eno2: 'ffffffffffff' }
    expect(await rackOn({ route: route('eno1'), captures })).toEqual({
      rack: 'lldp:4:0a0b0c0d0e0f',
      heardOn: ['eno1'],
    })
  })

  test('is heard below VLAN and bond, and the same for all who hang at the same two', async () => {
    const files = {
      '/sys/class/net/bond0.7/lower_bond0': '-> ../../bond0',
      '/sys/class/net/bond0/lower_eno1': '-> ../../eno1',
      '/sys/class/net/bond0/lower_eno2': '-> ../../eno2',
      '/sys/class/net/eno1/address': '',
      '/sys/class/net/eno2/address': '',
    }
    const [one, two] = ['0a0000000001', '0a0000000002']
    const bond = (captures: Record<string, string>) =>
      rackOn({ route: route('bond0.7'), files, captures })
    const expected = { rack: `lldp:4:${one}`, heardOn: ['eno1', 'eno2'] }
    expect(await bond({ eno1: one, eno2: two })).toEqual(expected)
    expect(await bond({ eno1: two, eno2: one })).toEqual(expected)
  })

  test.each(['', '[]', route('lo')])('is unknown with the route %j', async (text) => {
    expect(await rackOn({ route: text, captures: {} })).toEqual({ rack: undefined, heardOn: [] })
  })

  test('is unknown where nobody tells', async () => {
    expect((await rackOn({ route: route('eno1'), captures: {} })).rack).toBeUndefined()
  })
})
