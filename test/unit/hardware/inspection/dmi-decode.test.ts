import { expect, test } from 'vitest'
import { collectDmi, parseDmi } from '../../../../agent/hardware/inspection/dmi-decode.ts'
import { callOn } from './inspection-fixture.ts'

const TEXT = `# dmidecode 3.4
Getting SMBIOS data from sysfs.
SMBIOS 3.2.0 present.

Handle 0x0000, DMI type 0, 26 bytes
BIOS Information
\tVendor: Dell Inc.
\tVersion: 2.12.2
\tCharacteristics:
\t\tPCI is supported
\t\tUEFI is supported

Handle 0x0400, DMI type 4, 48 bytes
Processor Information
\tSocket Designation: CPU1
\tFlags:
\t\tFPU (Floating-point unit on-chip)
\tVoltage: 1.8 V

Handle 0x1000, DMI type 16, 23 bytes
Physical Memory Array
\tUse: System Memory
\tNumber Of Devices: 12

Handle 0x1001, DMI type 16, 23 bytes
Physical Memory Array
\tUse: System Memory
\tNumber Of Devices: 4

Handle 0x1100, DMI type 17, 84 bytes
Memory Device
\tSize: 16 GB
\tLocator: A1

Handle 0x7F00, DMI type 127, 4 bytes
End Of Table
`

test('what dmidecode prints is told by handle, lists as lists, arrays of memory as one', () => {
  expect(parseDmi(TEXT)).toEqual({
    bios: {
      Handle: 'Handle 0x0000, DMI type 0, 26 bytes',
      Vendor: 'Dell Inc.',
      Version: '2.12.2',
      Characteristics: ['PCI is supported', 'UEFI is supported'],
    },
    cpu: [
      {
        Handle: 'Handle 0x0400, DMI type 4, 48 bytes',
        'Socket Designation': 'CPU1',
        Flags: ['FPU (Floating-point unit on-chip)'],
        Voltage: '1.8 V',
      },
    ],
    memory: {
      Use: 'System Memory',
      'Number Of Devices': 16,
      devices: [{ Handle: 'Handle 0x1100, DMI type 17, 84 bytes', Size: '16 GB', Locator: 'A1' }],
    },
  })
})

test.each(['', '# dmidecode 3.4\n# No SMBIOS nor DMI entry point found, sorry.\n', 'Handle 0x'])(
  'of %j there is nothing to tell',
  (text) => {
    expect(parseDmi(text)).toEqual({ bios: {}, cpu: [], memory: { devices: [] } })
  },
)

test('without dmidecode it fails and says what is missing', async () => {
  await using lab = await callOn({})
  await expect(collectDmi(lab.call)).rejects.toThrow(/dmidecode: command not found/)
})
