import { describe, expect, test } from 'vitest'
import { attachIbft } from '../../../agent/hardware/ibft.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { machineWith } from './machine-fixture.ts'

const TABLE = {
  '/sys/firmware/ibft/acpi_header/signature': 'iBFT',
  '/sys/firmware/ibft/initiator/initiator-name': 'iqn.2026-11.example:node',
  '/sys/firmware/ibft/ethernet0/ip-addr': '192.0.2.7',
  '/sys/firmware/ibft/target0/target-name': 'iqn.2026-11.example:root\n',
  '/sys/firmware/ibft/target0/ip-addr': '192.0.2.9',
}
const ANSWERS = {
  'iscsistart -f': 'node.session.auth.password = geheim\n',
  'iscsistart -b': '',
  'udevadm settle': '',
}

async function attach(files: Record<string, string>, answers: Record<string, string>) {
  await using machine = await machineWith(files, answers)
  const lines: string[] = []
  const log = createLogger({ level: 'debug', destination: { write: (line) => lines.push(line) } })
  const isAttached = await attachIbft({ ...machine, log })
  const ran = machine.ran.filter((line) => line.startsWith('iscsistart'))
  return { isAttached, ran, said: lines.join('') }
}

describe("the firmware's iSCSI table", () => {
  test('is logged in by, and its secret is in no log', async () => {
    const { isAttached, ran, said } = await attach(TABLE, ANSWERS)
    expect(isAttached).toBe(true)
    expect(ran).toEqual(['iscsistart -f', 'iscsistart -b'])
    expect(said).toContain('iqn.2026-11.example:root')
    expect(said).not.toContain('geheim')
  })

  test.each<[string, Record<string, string>]>([
    ['there is none', {}],
    ['it names no target', { '/sys/firmware/ibft/ethernet0/ip-addr': '192.0.2.7' }],
  ])('runs nothing where %s', async (_, files) => {
    expect(await attach(files, ANSWERS)).toEqual({ isAttached: false, ran: [], said: '' })
  })

  test.each<[string, Record<string, string>, string[]]>([
    ['iscsistart is missing', {}, ['iscsistart -f']],
    ['no target answers', { 'iscsistart -f': '' }, ['iscsistart -f', 'iscsistart -b']],
  ])('is a warning where %s', async (_, answers, expected) => {
    const { isAttached, ran, said } = await attach(TABLE, answers)
    expect([isAttached, ran]).toEqual([false, expected])
    expect(said).toContain('no login to the targets')
  })
})
