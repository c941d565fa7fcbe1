// A machine that no DHCP server knows and whose clock stands at 2001, deployed over virtual media.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPackages } from '../../support/packages.ts'
import { stopChild } from '../../support/processes.ts'
import { createIronicLab, type IronicLab } from '../../support/vm/ironic-lab.ts'
import { LAB_ADDRESS } from '../../support/vm/network.ts'
import { DEPLOY_TIMEOUT_MS, deploy, report, showLogsOnFailure } from './deploys.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/static-network')
/** Outside of what the laboratory's DHCP server gives away. */
const ADDRESS = '10.77.0.20'

/** A bond of its only NIC, with the address, and a VLAN on the bond. */
const networkData = (mac: string) => ({
  links: [
    { id: 'nic', type: 'phy', ethernet_mac_address: mac },
    {
      ...{ id: 'bond0', type: 'bond', ethernet_mac_address: mac },
      ...{ bond_mode: 'active-backup', bond_links: ['nic'] },
    },
    { id: 'vlan', type: 'vlan', vlan_mac_address: mac, vlan_link: 'bond0', vlan_id: 100 },
  ],
  networks: [
    {
      ...{ id: 'a', network_id: 'a', link: 'bond0', type: 'ipv4' },
      ...{ ip_address: ADDRESS, netmask: '255.255.255.0', routes: [] },
    },
    {
      ...{ id: 'b', network_id: 'b', link: 'vlan', type: 'ipv6' },
      ...{ ip_address: 'fd78::20', netmask: 'ffff:ffff:ffff:ffff::', routes: [] },
    },
  ],
  services: [{ type: 'dns', address: LAB_ADDRESS }],
})

describe.skipIf(!canBootMachines() || !hasPackages('clock'))(
  'an unmodified Ironic and a machine without DHCP',
  // the agent is started three times, on a machine without KVM
  { timeout: 2 * DEPLOY_TIMEOUT_MS },
  () => {
    let lab: IronicLab
    let timeServer: ChildProcess

    beforeAll(async () => {
      const wish = {
        firmware: 'bios',
        isUnknownToDhcp: true,
        clock: '2001-02-03T04:05:06',
      } as const
      lab = await createIronicLab([{ name: 'static', ...wish }], FOLDER)
      const directives = ['local stratum 3', 'allow all', 'cmdport 0', 'bindcmdaddress /']
      const argv = ['-x', '-d', '-u', 'root', ...directives, `pidfile ${FOLDER}/chronyd.pid`]
      timeServer = spawn('chronyd', argv, { stdio: 'ignore' })
    })

    afterAll(async () => {
      if (timeServer) await stopChild(timeServer)
      await lab?.[Symbol.asyncDispose]()
    })

    test('is deployed over virtual media by the static network of its node, at the right time', async () => {
      const machine = lab.machine('static')
      showLogsOnFailure(lab, [machine])
      const uuid = await lab.enrol(machine, {
        bootInterface: 'redfish-virtual-media',
        networkData: networkData(machine.mac),
        kernelWords: `ipa-ntp-server=${LAB_ADDRESS}`,
      })
      const { words, console, seconds } = await deploy(lab, machine, uuid)
      report(machine.name, { deploy: seconds })
      expect(words).toContain('firmware=bios hostname=static')
      expect(console).toMatch(/network: static on bond0 bond0\.100 \w+ /)
      // 2001 to now, and Ironic trusted the certificate
      const [, offset] = /"offset_s":(-?[\d.]+).*"msg":"clock set"/.exec(console) ?? []
      expect(Math.abs(Number(offset))).toBeGreaterThan(20 * 365 * 86_400)
      const dhcp = await readFile(join(FOLDER, 'dhcp.log'), 'utf8')
      expect(dhcp).not.toContain('DHCPACK')
      await machine.powerOff()
    })
  },
)
