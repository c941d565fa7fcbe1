// `ironswarm inspect` and `ironswarm inventory`, on machines that namespaces show them.
import { expect, test } from 'vitest'
import { MACHINES } from '../../support/machines/catalog.ts'
import { openSandbox } from '../../support/machines/sandbox.ts'
import type { RecordedMachine } from '../../support/machines/tree.ts'
import { hasPackages } from '../../support/packages.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'

const CAN_SHOW = process.getuid?.() === 0 && hasPackages('agent')
const machineOf = (name: string) => MACHINES.find((each) => each.name === name) as RecordedMachine
const LIMIT = { timeoutMs: 120_000 }

test.runIf(CAN_SHOW)('inspect prints what would be posted, and posts nothing', async () => {
  await using sandbox = await openSandbox(machineOf('bonded'), '/')
  const argv = [...AGENT_COMMAND, 'inspect'] as const
  const collectors = 'default,pci-devices,numa-topology,dmi-decode,usb-devices'
  const env = [
    ...['env', 'IRONSWARM_INSPECTION_DHCP_WAIT_TIMEOUT=0'],
    `IRONSWARM_INSPECTION_COLLECTORS=${collectors}`,
    // nobody is there: whoever posted would fail
    'IRONSWARM_INSPECTION_CALLBACK_URL=http://127.0.0.1:9/v1/continue_inspection',
  ] as const
  const { stdout, stderr } = await sandbox.exec([...env, ...argv] as never, LIMIT)
  const data = JSON.parse(stdout)
  expect(Object.keys(data)).toEqual([
    'inventory',
    'root_disk',
    'boot_interface',
    'configuration',
    'pci_devices',
    'numa_topology',
    'dmi',
    'usb_devices',
    'error',
  ])
  expect(data).toMatchObject({
    boot_interface: '01-24-6e-96-00-00-10',
    root_disk: { name: '/dev/md127' },
    configuration: { collectors: collectors.split(',') },
    numa_topology: { ram: [{ numa_node: 0, size_kb: 98304000 }] },
    dmi: { bios: { Vendor: 'Lenovo' }, memory: { 'Number Of Devices': 6 } },
    error: null,
  })
  expect(stderr).toBe('')
})

test.runIf(CAN_SHOW)('inventory tells members of a bond, the BMC and the disks apart', async () => {
  await using sandbox = await openSandbox(machineOf('bonded'), '/')
  const { stdout } = await sandbox.exec([...AGENT_COMMAND, 'inventory'], LIMIT)
  const inventory = JSON.parse(stdout)
  const macs = inventory.interfaces.map(
    (each: { name: string; mac_address: string }) => `${each.name} ${each.mac_address}`,
  )
  expect(macs).toEqual([
    'bond0 24:6e:96:00:00:10',
    'bond0.100 24:6e:96:00:00:10',
    'eno1 24:6e:96:00:00:20',
    'ens1f0 24:6e:96:00:00:10',
    'ens1f1 24:6e:96:00:00:11',
  ])
  expect(inventory).toMatchObject({
    bmc_address: '0.0.0.0',
    bmc_v6address: '2001:db8::203',
    bmc_mac: '0a:94:ef:00:00:01',
    memory: { total: 98304000 * 1024, physical_mb: 98304 },
    boot: { current_boot_mode: 'uefi' },
    hostname: 'ramdisk',
  })
  expect(inventory.disks.map(({ name }: { name: string }) => name)).toEqual([
    '/dev/sda',
    '/dev/sdb',
    '/dev/md127',
  ])
})

test.runIf(CAN_SHOW)(
  'what a machine shows as its disk can be looked at and not opened',
  async () => {
    await using sandbox = await openSandbox(machineOf('bonded'), '/')
    const { stdout } = await sandbox.exec(['stat', '--format=%F %Hr:%Lr', '/dev/sda'], LIMIT)
    expect(stdout).toBe('block special file 8:0\n')
    const reading = sandbox.exec(['dd', 'if=/dev/sda', 'of=/dev/null', 'count=1'], LIMIT)
    await expect(reading).rejects.toThrow(/Permission denied/)
  },
)
