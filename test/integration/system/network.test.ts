// network_data.json on the interfaces of a machine of its own, by the kernel and iproute2. Bonds and VLANs are shown in a
// machine with Debian's kernel (test/e2e/vm): not every kernel that tests run on has them.
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AGENT_COMMAND } from '../../support/under-test.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine, runOn } from '../swarm/namespaces.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-network-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** The one interface of the machine, as it is and by its MAC address. */
function nicOf(machine: LabMachine): { mac: string } {
  const [row] = JSON.parse(runOn(machine, 'ip', '-json', 'link', 'show', 'dev', 'eth0'))
  return { mac: row.address }
}

async function network(
  machine: LabMachine,
  verb: 'plan' | 'apply',
  data: object,
  ...more: string[]
) {
  const path = join(directory, 'network_data.json')
  await writeFile(path, JSON.stringify(data))
  const [command, ...args] = [
    ...[...machine.on, ...AGENT_COMMAND, 'network', verb, '--network-data', path],
    ...more,
  ] as [string, ...string[]]
  const cwd = join(import.meta.dirname, '../../..')
  return execFileSync(command, args, { encoding: 'utf8', cwd })
}

const route = (network: string, netmask: string, gateway: string) => ({ network, netmask, gateway })

describe.runIf(canMakeNetworks())('ironswarm network', () => {
  test('gives an interface its addresses, routes and name servers, twice the same', async () => {
    await using lab = createLabNetwork(2)
    const [machine, other] = lab.machines as [LabMachine, LabMachine]
    runOn(machine, 'ip', 'address', 'flush', 'dev', 'eth0')
    runOn(machine, 'ip', 'link', 'set', 'dev', 'eth0', 'down')
    const data = {
      links: [{ id: 'x', type: 'phy', ethernet_mac_address: nicOf(machine).mac, mtu: 1400 }],
      networks: [
        {
          ...{ link: 'x', type: 'ipv4', ip_address: '10.78.0.77', netmask: '255.255.255.0' },
          routes: [
            route('0.0.0.0', '0.0.0.0', '10.78.0.2'),
            route('198.51.100.0', '255.255.255.0', '10.78.0.2'),
          ],
        },
        {
          ...{ link: 'x', type: 'ipv6', ip_address: 'fd79::77', netmask: 'ffff:ffff:ffff:ffff::' },
          routes: [route('::0', '::0', 'fd79::1')],
        },
      ],
      services: [{ type: 'dns', address: '10.78.0.2' }],
    }
    const resolvConf = join(directory, 'resolv.conf')
    for (const _time of ['first', 'second']) {
      expect(await network(machine, 'apply', data, '--resolv-conf', resolvConf)).toBe('eth0\n')
      const [row] = JSON.parse(runOn(machine, 'ip', '-json', 'address', 'show', 'dev', 'eth0'))
      expect(row.mtu).toBe(1400)
      const global = row.addr_info.filter(({ scope }: { scope: string }) => scope === 'global')
      expect(
        global.map((one: Record<string, unknown>) => `${one['local']}/${one['prefixlen']}`),
      ).toEqual(['10.78.0.77/24', 'fd79::77/64'])
      expect(runOn(machine, 'ip', 'route', 'get', '203.0.113.9')).toContain(
        'via 10.78.0.2 dev eth0',
      )
      expect(runOn(machine, 'ip', 'route', 'get', '198.51.100.9')).toContain('via 10.78.0.2')
      expect(runOn(machine, 'ip', '-6', 'route', 'show', 'default')).toContain('via fd79::1')
      expect(await readFile(resolvConf, 'utf8')).toBe('nameserver 10.78.0.2\n')
    }
    const ra = runOn(machine, 'cat', '/proc/sys/net/ipv6/conf/eth0/accept_ra')
    expect(ra.trim()).toBe('0')
    runOn(other, 'ip', 'neigh', 'flush', 'dev', 'eth0')
    expect(runOn(machine, 'ip', '-br', 'link', 'show', 'dev', 'eth0')).toContain('UP')
  })

  test('says what it would do and does none of it', async () => {
    await using lab = createLabNetwork(1)
    const [machine] = lab.machines as [LabMachine]
    const data = {
      links: [{ id: 'x', type: 'phy', ethernet_mac_address: nicOf(machine).mac }],
      networks: [{ link: 'x', type: 'ipv4', ip_address: '192.0.2.9', netmask: '24' }],
    }
    const lines = await network(machine, 'plan', data)
    expect(lines).toContain('ip address replace 192.0.2.9/24 broadcast + dev eth0\n')
    expect(runOn(machine, 'ip', 'address', 'show', 'dev', 'eth0')).not.toContain('192.0.2.9')
  })

  test('runs the rest where a command fails, and says which did', async () => {
    await using lab = createLabNetwork(1)
    const [machine] = lab.machines as [LabMachine]
    const data = {
      links: [{ id: 'x', type: 'phy', ethernet_mac_address: nicOf(machine).mac, mtu: 65_535 }],
      networks: [
        // no host's address: the kernel refuses it
        { link: 'x', type: 'ipv6', ip_address: 'ff02::1', netmask: '64' },
        { link: 'x', type: 'ipv4', ip_address: '192.0.2.9', netmask: '24' },
      ],
    }
    const failed = await network(machine, 'apply', data).catch((error) => error)
    expect(failed.status).toBe(1)
    expect(failed.stdout).toBe('eth0\n')
    expect(failed.stderr).toContain('ip address replace ff02::1/64')
    expect(runOn(machine, 'ip', 'address', 'show', 'dev', 'eth0')).toContain('192.0.2.9/24')
  })

  test('refuses a file that is none, before it touches anything', async () => {
    await using lab = createLabNetwork(1)
    const [machine] = lab.machines as [LabMachine]
    const failed = await network(machine, 'apply', { links: [{}] }).catch((error) => error)
    expect(failed.status).toBe(2)
    expect(failed.stderr).toContain('network_data.json: links[0].id must be text')
  })
})
