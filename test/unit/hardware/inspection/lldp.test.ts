import { expect, test } from 'vitest'
import { collectLldp } from '../../../../agent/hardware/inspection/lldp.ts'
import type { Inventory, WireInterface, WireLldp } from '../../../../agent/hardware/inventory.ts'
import { callOn } from './inspection-fixture.ts'

const TLVS: WireLldp = [
  [1, '0464649b32f300'],
  [2, '0567652d302f302f3335'],
  [3, '0078'],
]
const FACTS = { switch_chassis_id: '64:64:9b:32:f3:00', switch_port_id: 'ge-0/0/35' }
const nic = (name: string, lldp: WireLldp | null = null) => ({ name, lldp }) as WireInterface

test('what switches say is posted raw and parsed; a silent interface has nothing parsed', async () => {
  const asked: unknown[] = []
  await using lab = await callOn({
    methods: {
      listNetworkInterfaces: async () => [nic('eth0'), nic('eth1')],
      collectLldpData: async (names) => {
        asked.push(names)
        return { eth0: TLVS, eth1: [] }
      },
    },
  })
  expect(await collectLldp(lab.call)).toEqual({
    lldp_raw: { eth0: TLVS, eth1: [] },
    parsed_lldp: { eth0: FACTS },
  })
  expect(asked).toEqual([['eth0', 'eth1']])
})

test('with collect_lldp it is what the inventory has heard: nobody listens twice', async () => {
  const inventory = { interfaces: [nic('eth0', TLVS), nic('eth1')] } as unknown as Inventory
  await using lab = await callOn({
    collectsLldp: true,
    methods: { listHardwareInfo: async () => inventory },
  })
  expect(await collectLldp(lab.call)).toEqual({
    lldp_raw: { eth0: TLVS },
    parsed_lldp: { eth0: FACTS },
  })
})
