import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../agent/core/errors.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
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
    expect(devices.map(({ kname, parentKnames }) => [kname, parentKnames])).toEqual([
      ['nvme0n1', []],
      ['nvme0n1p1', ['nvme0n1']],
      ['nvme0n1p2', ['nvme0n1']],
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

  test('a device with two parents is listed once, with both', () => {
    const md = { kname: 'md0', type: 'raid1', size: 1 }
    const tree = {
      blockdevices: ['sda', 'sdb'].map((kname) => ({ kname, type: 'disk', children: [md] })),
    }
    const devices = parseLsblk(JSON.stringify(tree))
    expect(devices.map(({ kname }) => kname)).toEqual(['sda', 'md0', 'sdb'])
    expect(devices[1]?.parentKnames).toEqual(['sda', 'sdb'])
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

describe('a device that breaks the list does not hide the others', () => {
  const ROW = '"type":"disk","size":1024'
  const BROKEN: [string, string][] = [
    ['hexadecimal escapes', String.raw`"model":"a\x20\x09b"`],
    ['a control character', '"model":"a\u0001\tb"'],
    ['a lone backslash', String.raw`"label":"C:\windows"`],
    ['an escaped backslash before an x', String.raw`"label":"\\x20"`],
  ]
  test.each(BROKEN)('nor itself, with %s', (_, field) => {
    const text = `{"blockdevices":[{"kname":"sda",${ROW},${field}},\n{"kname":"sdb",${ROW}}]}`
    expect(parseLsblk(text).map(({ kname }) => kname)).toEqual(['sda', 'sdb'])
  })

  test.each(['a row without a name', 'a name that is no text'])('nor those below %s', (what) => {
    const odd = { kname: what.includes('text') ? 5 : undefined, children: [{ kname: 'sdb' }] }
    const tree = { blockdevices: [odd, null, 7, { kname: 'sda' }] }
    expect(parseLsblk(JSON.stringify(tree)).map(({ kname }) => kname)).toEqual(['sdb', 'sda'])
  })

  /** An lsblk whose row of sda cannot be read, however it is asked for texts. */
  const lsblkWith =
    (row: string): Exec =>
    async (argv) => {
      const line = argv.join(' ')
      const rows = [`{"kname":"sdb",${ROW}}`]
      if (line.includes('--nodeps')) return { stdout: 'sda\nsdb\n', stderr: '', exitCode: 0 }
      const bare = line.includes('MODEL') ? row : `{"kname":"sda",${ROW}}`
      const asked = line.endsWith('/dev/sda')
        ? [bare]
        : line.endsWith('/dev/sdb')
          ? rows
          : [bare, ...rows]
      return { stdout: `{"blockdevices":[${asked}]}`, stderr: '', exitCode: 0 }
    }

  test.each(['{"kname":"sda","model":"a"b"}', '{"kname":"sda","label":', 'Segmentation fault'])(
    'when its answer is %s, and is listed by what it has besides texts',
    async (row) => {
      const devices = await listBlockDevices(lsblkWith(row))
      expect(devices.map(({ kname, sizeBytes }) => [kname, sizeBytes])).toEqual([
        ['sda', 1024],
        ['sdb', 1024],
      ])
    },
  )

  test.each([1, 64])('when lsblk ends with %i because it has gone', async (exitCode) => {
    const exec: Exec = async (_argv, { okExitCodes = [0] } = {}) => {
      expect(okExitCodes).toContain(exitCode)
      return { stdout: '{"blockdevices":[{"kname":"sdb"}]}', stderr: 'sda: unknown', exitCode }
    }
    expect(await listBlockDevices(exec)).toMatchObject([{ kname: 'sdb' }])
  })

  test('but an lsblk that lists nothing and fails is a ProcessError', async () => {
    const exec: Exec = async () => ({ stdout: '', stderr: 'no sysfs', exitCode: 1 })
    await expect(listBlockDevices(exec)).rejects.toMatchObject({ type: 'ProcessError' })
  })
})
