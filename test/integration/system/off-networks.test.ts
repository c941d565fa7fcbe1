// A machine leaves its networks, in a network of its own that ends with the test.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { hasPackages } from '../../support/packages.ts'
import { canMakeNetworks } from '../swarm/namespaces.ts'

const SCRIPT = join(import.meta.dirname, 'off-networks-process.ts')

/** /sys shows the interfaces of the network it was mounted in. */
const SET_UP = `
  mount -t sysfs sysfs /sys
  ip link set lo up
  ip link add eth0 type veth peer name peer
  ip link add eth1 type veth peer name dormant
  for each in eth0 peer eth1; do ip link set $each up; done
  exec "$0" "$@"`

const canRun = canMakeNetworks() && hasPackages('agent')

/** The names of the interfaces that are up afterwards, and what was said. */
async function leave(machineControl: 'real' | 'log') {
  const argv = ['--net', '--mount', 'sh', '-ec', SET_UP, process.execPath, SCRIPT, machineControl]
  const { stdout } = await promisify(execFile)('unshare', argv)
  return JSON.parse(stdout) as { up: string[]; log: string[] }
}

test.runIf(canRun)(
  'a machine that is locked down has no interface up but the loopback',
  async () => {
    const { up, log } = await leave('real')
    expect(up).toEqual(['lo'])
    expect(log.join('')).toBe('')
  },
)

test.runIf(canRun)('a laboratory only says which interfaces would go', async () => {
  const { up, log } = await leave('log')
  expect(up.sort()).toEqual(['eth0', 'eth1', 'lo', 'peer'])
  expect(log.join('')).toContain('["ip","link","set","dev","eth1","down"]')
})
