import { expect, test } from 'vitest'
import { AgentError } from '../../../../agent/core/errors.ts'
import type { Progress } from '../../../../agent/core/events.ts'
import type { Hardware } from '../../../../agent/hardware/dispatcher.ts'
import { loadHardware } from '../../../../agent/hardware/dispatcher.ts'
import { collectInspection, collectorNames } from '../../../../agent/hardware/inspection/collect.ts'
import type { CollectorDeps } from '../../../../agent/hardware/inspection/collector.ts'
import type { WireInterface } from '../../../../agent/hardware/inventory.ts'
import type { HardwareManager } from '../../../../agent/hardware/manager.ts'
import { silentLog } from '../../../support/agent-in-process.ts'
import { progressTo } from '../../../support/event-lab.ts'
import { machineWith } from '../machine-fixture.ts'
import { wireDisk, wireInterface, wireInventory } from '../wire-fixture.ts'

const DISK = wireDisk({ size: 8 * 1024 ** 3 })
const INVENTORY = wireInventory({
  disks: [DISK],
  boot: { current_boot_mode: 'bios', pxe_interface: '01-52-54-00-aa-bb-01' },
})

const NIC = wireInterface({ name: 'eth0', ipv4_address: '192.0.2.1' })

/** A machine whose manager answers as the case wants. */
async function deps(
  methods: Partial<HardwareManager>,
  config: Partial<CollectorDeps['config']> = {},
): Promise<CollectorDeps & AsyncDisposable> {
  const machine = await machineWith()
  const manager: HardwareManager = {
    name: 'test_manager',
    version: '1.0',
    label: 'TestManager',
    evaluateHardwareSupport: async () => 1,
    steps: [],
    listNetworkInterfaces: async () => [NIC],
    listHardwareInfo: async () => INVENTORY,
    getOsInstallDevice: async () => ({ name: DISK.name }) as never,
    ...methods,
  }
  const hardware: Hardware = await loadHardware([manager])
  return {
    config: {
      bootif: '01-52-54-00-aa-bb-01',
      collect_lldp: false,
      inspection_benchmarks: [],
      inspection_collectors: [],
      inspection_dhcp_all_interfaces: false,
      inspection_dhcp_wait_timeout: 60,
      ...config,
    },
    hardware,
    exec: machine.exec,
    root: machine.root,
    log: silentLog,
    ownLogs: () => [{ name: 'ironswarm/agent.log', content: 'hello\n' }],
    now: () => 0,
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  }
}

const NOBODY = { publish: () => undefined }

const collect = (from: CollectorDeps) =>
  collectInspection(from, { signal: AbortSignal.timeout(60_000), events: NOBODY })

test.each([
  [[], ['default', 'logs']],
  [
    ['logs', 'default', 'lldp', 'default'],
    ['default', 'lldp', 'logs'],
  ],
])('of collectors %j the order is %j: logs tell of the others', (asked, names) => {
  expect(collectorNames(asked)).toEqual(names)
})

test('without a list it posts the inventory, the root disk, who collected, and the logs', async () => {
  await using from = await deps({})
  const { data, error } = await collect(from)
  expect(error).toBeNull()
  expect(data).toEqual({
    inventory: INVENTORY,
    root_disk: DISK,
    boot_interface: '01-52-54-00-aa-bb-01',
    configuration: {
      collectors: ['default', 'logs'],
      managers: [{ name: 'test_manager', version: '1.0' }],
    },
    logs: expect.stringMatching(/^H4sI/),
    error: null,
  })
})

test('a machine without a disk that is large enough has no root_disk, which is no failure', async () => {
  await using from = await deps({
    getOsInstallDevice: async () => {
      throw new AgentError('DeviceNotFound', 'none is 4 GiB or larger')
    },
  })
  const { data, error } = await collect(from)
  expect(error).toBeNull()
  expect(data).not.toHaveProperty('root_disk')
})

test('a collector that fails and one that nobody knows are told, and the others go on', async () => {
  await using from = await deps(
    {
      listHardwareInfo: async () => {
        throw new AgentError('ProcessError', 'lsblk: exit code 1 for http://me:geheim@host/')
      },
    },
    { inspection_collectors: ['nonsense', 'default', 'logs'] },
  )
  const { data, error } = await collect(from)
  expect(error).toMatch(/^The following errors were encountered:\n\* collector nonsense is not/)
  expect(error).toMatch(/\n\* collector default failed: .*lsblk: exit code 1/)
  expect(error).not.toContain('geheim')
  expect(data).toEqual({ logs: expect.any(String), error })
})

test('the end of the agent ends it at once, also while a manager hangs', async () => {
  const ending = new AbortController()
  await using from = await deps({
    listHardwareInfo: () => {
      ending.abort(new AgentError('CancelledError', 'the agent ends'))
      return new Promise(() => undefined)
    },
  })
  await expect(collectInspection(from, { signal: ending.signal, events: NOBODY })).rejects.toThrow(
    'the agent ends',
  )
})

test('it says which collector of how many runs', async () => {
  await using from = await deps({}, { inspection_collectors: ['dmi-decode', 'pci-devices', 'no'] })
  const heard: Progress[] = []
  const events = progressTo((progress) => heard.push(progress))
  await collectInspection(from, { signal: AbortSignal.timeout(60_000), events })
  const about = ({ subject, unit, done, total }: Progress) => `${subject} ${done}/${total} ${unit}`
  expect(heard.map(about)).toEqual([
    'null 0/3 items',
    'dmi-decode 0/3 items',
    'pci-devices 1/3 items',
    'no 2/3 items',
  ])
  expect(events.snapshot().stage).toBeNull()
})

test('it waits for the address of the interface that the machine booted from', async () => {
  let looks = 0
  const nics = async () => [
    { ...NIC, ipv4_address: ++looks > 1 ? '192.0.2.1' : null } as WireInterface,
    { ...NIC, name: 'eth1', mac_address: '52:54:00:aa:bb:02', ipv4_address: null } as WireInterface,
  ]
  await using from = await deps({ listNetworkInterfaces: nics })
  expect((await collect(from)).error).toBeNull()
  expect(looks).toBe(2)
})

test.each([
  ['the time is over', { inspection_dhcp_wait_timeout: 0.01 }, true],
  ['no time is given', { inspection_dhcp_wait_timeout: 0 }, false],
  ['nobody says which interface it was', { bootif: null }, false],
  [
    'the time for all of them is over',
    { bootif: null, inspection_dhcp_all_interfaces: true, inspection_dhcp_wait_timeout: 0.01 },
    true,
  ],
])('it goes on without an address where %s', async (_what, config, isWaiting) => {
  let looks = 0
  const nics = async () => {
    looks++
    return [{ ...NIC, ipv4_address: null } as WireInterface]
  }
  await using from = await deps({ listNetworkInterfaces: nics }, config)
  const { data } = await collect(from)
  expect(data).toHaveProperty('inventory')
  expect(looks > 0).toBe(isWaiting)
})
