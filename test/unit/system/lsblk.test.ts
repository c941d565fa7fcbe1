import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../agent/core/errors.ts'
import { exec } from '../../../agent/system/exec.ts'
import { listBlockDevices, parseLsblk } from '../../../agent/system/lsblk.ts'

const NESTED = {
  blockdevices: [
    {
      kname: 'nvme0n1',
      pkname: null,
      type: 'disk',
      size: 480103981056,
      model: 'SAMSUNG MZ7 ',
      rota: false,
      ro: false,
      'log-sec': 512,
      'phy-sec': 4096,
      tran: 'nvme',
      children: [
        {
          kname: 'nvme0n1p1',
          type: 'part',
          size: 1048576,
          label: 'config-2',
          mountpoints: [null, '/a'],
        },
        { kname: 'nvme0n1p2', type: 'part', size: 2097152, mountpoints: [null] },
      ],
    },
  ],
}

describe("lsblk's JSON", () => {
  test('is flattened, children after their parent', () => {
    const devices = parseLsblk(JSON.stringify(NESTED))
    expect(devices.map(({ kname, parentKname }) => [kname, parentKname])).toEqual([
      ['nvme0n1', null],
      ['nvme0n1p1', 'nvme0n1'],
      ['nvme0n1p2', 'nvme0n1'],
    ])
    expect(devices[0]).toMatchObject({
      sizeBytes: 480103981056,
      model: 'SAMSUNG MZ7',
      rotational: false,
      logicalSectorBytes: 512,
      physicalSectorBytes: 4096,
      serial: null,
    })
    expect(devices[1]).toMatchObject({ label: 'config-2' })
  })

  test('of old versions has strings for numbers and flags', () => {
    const old = { blockdevices: [{ kname: 'sda', type: 'disk', size: '1024', rota: '1', ro: '0' }] }
    expect(parseLsblk(JSON.stringify(old))[0]).toMatchObject({
      sizeBytes: 1024,
      rotational: true,
      isReadOnly: false,
    })
  })

  test('a device with two parents is listed once', () => {
    const md = { kname: 'md0', type: 'raid1', size: 1 }
    const tree = {
      blockdevices: ['sda', 'sdb'].map((kname) => ({ kname, type: 'disk', children: [md] })),
    }
    expect(parseLsblk(JSON.stringify(tree)).map(({ kname }) => kname)).toEqual([
      'sda',
      'md0',
      'sdb',
    ])
  })

  test('nothing at all is no device', () => {
    expect(parseLsblk('')).toEqual([])
  })

  test('whatever it says, the answer is a list or a BlockDeviceError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.anything().map((x) => JSON.stringify({ blockdevices: [x] }) ?? ''),
        ),
        (text) => {
          try {
            expect(Array.isArray(parseLsblk(text))).toBe(true)
          } catch (error) {
            if (!isAgentError(error, 'BlockDeviceError')) throw error
          }
        },
      ),
    )
  })

  test('is understood as this machine writes it', async () => {
    expect(Array.isArray(await listBlockDevices(exec))).toBe(true)
  })
})
