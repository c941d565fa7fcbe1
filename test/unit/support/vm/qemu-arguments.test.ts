import { expect, test } from 'vitest'
import { type BootDevice, bootOrder, qemuArguments } from '../../../support/vm/qemu-arguments.ts'

const hardware = {
  name: 'one',
  uuid: '1a04ad5e-0000-4000-8000-000000000001',
  mac: '52:54:00:00:00:01',
  disk: '/disk',
  memoryMib: 512,
  processors: 1,
  accelerator: 'tcg',
  tap: 'tap0',
} as const
const files = { uefiVariables: '/vars', serialSocket: '/socket', serialLog: '/log' }

test.each<[BootDevice, BootDevice[]]>([
  ['disk', ['disk', 'moreDisks', 'cdrom', 'network']],
  ['moreDisks', ['moreDisks', 'disk', 'cdrom', 'network']],
  ['network', ['network', 'disk', 'moreDisks', 'cdrom']],
  ['cdrom', ['cdrom', 'disk', 'moreDisks', 'network']],
])('a machine that boots from %s tries %j', (first, order) => {
  const indexes = bootOrder(first)
  const devices = Object.keys(indexes) as BootDevice[]
  expect(devices.sort((a, b) => indexes[a] - indexes[b])).toEqual(order)
})

test('a UEFI machine has its own variables, a BIOS machine has none', () => {
  const uefi = qemuArguments(hardware, { firmware: 'uefi', device: 'disk' }, files).join(' ')
  const bios = qemuArguments(hardware, { firmware: 'bios', device: 'disk' }, files).join(' ')
  expect(uefi).toContain('unit=1,file=/vars')
  expect(bios).not.toContain('pflash')
})

test('a plain NIC has no iPXE of its own', () => {
  const boot = { firmware: 'uefi', device: 'network' } as const
  expect(qemuArguments({ ...hardware, hasPlainNic: true }, boot, files).join(' ')).toContain(
    'bootindex=1,romfile=',
  )
  expect(qemuArguments(hardware, boot, files).join(' ')).not.toContain('romfile')
})

test('the disk is a virtio or an NVMe drive', () => {
  const boot = { firmware: 'bios', device: 'disk' } as const
  const disk = 'drive=disk,serial=one,bootindex=1'
  expect(qemuArguments(hardware, boot, files)).toContain(`virtio-blk-pci,${disk}`)
  expect(qemuArguments({ ...hardware, hasNvme: true }, boot, files)).toContain(`nvme,${disk}`)
})

test('the CD drive is there with and without a disc', () => {
  const boot = { firmware: 'bios', device: 'cdrom' } as const
  expect(qemuArguments(hardware, boot, files)).toContain('if=none,id=cdrom,media=cdrom,readonly=on')
  expect(qemuArguments(hardware, { ...boot, cdrom: '/iso' }, files)).toContain(
    'if=none,id=cdrom,media=cdrom,readonly=on,file=/iso,format=raw',
  )
})

test('more disks are virtio drives, a LUN is two SCSI disks that cannot be told apart', () => {
  const boot = { firmware: 'bios', device: 'disk' } as const
  const moreDisks = [
    { path: '/a', serial: 'plain', isLun: false },
    { path: '/b', serial: 'lun', isLun: true },
  ]
  const args = qemuArguments({ ...hardware, moreDisks }, boot, files)
  expect(args).toContain('virtio-blk-pci,drive=more0-0,serial=plain,bootindex=10')
  const paths = args.filter((arg) => arg.startsWith('scsi-hd,'))
  expect(paths.map((arg) => arg.replace(/drive=more1-\d,/, ''))).toEqual(
    Array(2).fill('scsi-hd,bus=scsi.0,serial=lun,wwn=0x5000c50000000001,share-rw=on'),
  )
})

test('a keyboard by USB leaves none by PS/2', () => {
  const boot = { firmware: 'uefi', device: 'disk' } as const
  const usb = qemuArguments(hardware, { ...boot, hasUsbKeyboard: true }, files).join(' ')
  expect(usb).toContain('usb-kbd,bus=keys.0')
  expect(usb).toContain('q35,i8042=off')
  expect(qemuArguments(hardware, boot, files).join(' ')).not.toContain('i8042')
})
