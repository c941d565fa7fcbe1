import { describe, expect, test } from 'vitest'
import {
  isVirtualMedium,
  readVirtualMediaParameters,
  type VirtualMediaReader,
} from '../../../agent/config/virtual-media.ts'

const GiB = 1024 ** 3
const disk = (transport: string | null, sizeBytes: number) => ({
  type: 'disk',
  transport,
  sizeBytes,
})

describe('isVirtualMedium', () => {
  test.each([
    ['a ROM of any size', [{ type: 'rom', transport: 'sata', sizeBytes: 9 * GiB }], true],
    ['a small USB disk', [disk('usb', 102_400)], true],
    ['a USB disk of 4 GiB', [disk('usb', 4 * GiB)], false],
    ['a disk that is not USB', [disk('sata', 102_400)], false],
    [
      'a partition of a small USB disk',
      [{ type: 'part', transport: null, sizeBytes: 1 }, disk('usb', 1)],
      false,
    ],
    ['a logical volume', [{ type: 'lvm', transport: null, sizeBytes: 1 }, disk('sata', 1)], false],
    ['nothing', [], false],
  ])('%s: %#', (_name, chain, isMedium) => expect(isVirtualMedium(chain)).toBe(isMedium))
})

describe('readVirtualMediaParameters', () => {
  const reader = (part: Partial<VirtualMediaReader>): VirtualMediaReader => ({
    devices: async () => [],
    chain: async () => [disk('usb', 102_400)],
    readFile: async () => 'ipa-debug=1\nipa-api-url=http://x\n',
    ...part,
  })

  test('reads the device with the label, whatever its case', async () => {
    const devices = async () => [
      { path: '/dev/sda', label: 'config-2', model: 'Virtual Media' },
      { path: '/dev/sdb', label: 'Ir-Vfd-Dev', model: null },
    ]
    const asked: string[] = []
    const parameters = await readVirtualMediaParameters(
      reader({
        devices,
        readFile: async (path, name) => {
          asked.push(`${path} ${name}`)
          return 'ipa-debug=1'
        },
      }),
    )
    expect(asked).toEqual(['/dev/sdb parameters.txt'])
    expect(parameters.get('ipa-debug')).toBe('1')
  })

  test('falls back to a device whose model says virtual media', async () => {
    const devices = async () => [{ path: '/dev/sr0', label: null, model: 'iDRAC Virtual Media' }]
    const parameters = await readVirtualMediaParameters(reader({ devices }))
    expect(parameters.get('ipa-api-url')).toBe('http://x')
  })

  test("does not read a tenant's disk that carries the label", async () => {
    const parameters = await readVirtualMediaParameters(
      reader({
        devices: async () => [{ path: '/dev/sda', label: 'ir-vfd-dev', model: null }],
        chain: async () => [disk('sata', 500 * GiB)],
      }),
    )
    expect(parameters.size).toBe(0)
  })

  describe("finds the medium beside a tenant's disk that carries the label", () => {
    const LABEL = 'ir-vfd-dev'
    const TENANT = [disk('sata', 500 * GiB)]
    const PARTITION = [{ type: 'part', transport: null, sizeBytes: 1 }, disk('usb', 1)]
    const readable = { '/dev/medium': 'ipa-debug=1' }
    const medium = (part: object) => ({ path: '/dev/medium', label: null, model: null, ...part })
    const tenant = (path: string, model: string | null = null) => ({ path, label: LABEL, model })

    test.each([
      ['that comes first', [tenant('/dev/sda'), medium({ label: LABEL })]],
      [
        'and has a label itself',
        [tenant('/dev/sda'), tenant('/dev/sda1'), medium({ label: 'IR-VFD-DEV' })],
      ],
      ['by its model', [tenant('/dev/sda'), medium({ model: 'AMI Virtual Media' })]],
      [
        'by its model, where the disk has that model too',
        [tenant('/dev/sda', 'Virtual Media'), medium({ model: 'Virtual Media' })],
      ],
      ['whose file is there', [tenant('/dev/empty'), medium({ label: LABEL })]],
    ])('%s', async (_where, devices) => {
      const parameters = await readVirtualMediaParameters({
        devices: async () => devices,
        chain: async (path) =>
          path === '/dev/sda' ? TENANT : path === '/dev/sda1' ? PARTITION : [disk('usb', 102_400)],
        readFile: async (path) => readable[path as '/dev/medium'],
      })
      expect(parameters.get('ipa-debug')).toBe('1')
    })
  })

  test('no device and an unreadable file are no errors', async () => {
    expect((await readVirtualMediaParameters(reader({}))).size).toBe(0)
    const devices = async () => [{ path: '/dev/sdb', label: 'ir-vfd-dev', model: null }]
    const unreadable = reader({ devices, readFile: async () => undefined })
    expect((await readVirtualMediaParameters(unreadable)).size).toBe(0)
  })
})
