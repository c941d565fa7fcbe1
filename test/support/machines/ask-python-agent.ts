// SPDX-License-Identifier: Apache-2.0
// Owns asking the real ironic-python-agent of a root tree what it makes of a recorded machine.
import type { Sandbox } from './sandbox.ts'

/** What it says, as it posts it. */
export interface PythonAgentAnswer {
  readonly version: string
  /** Of the collectors {@link COLLECTORS}. */
  readonly inspected: Readonly<Record<string, unknown>>
  /** The `bmc_` keys of the inventory where Ironic says that the BMC is not to be asked for. */
  readonly withoutBmc: Readonly<Record<string, unknown>>
}

/** All that look at hardware; LLDP and logs do not. */
export const COLLECTORS = [
  'default',
  'pci-devices',
  'usb-devices',
  'numa-topology',
  'dmi-decode',
] as const

/**
 * Its own code from the collectors down. Two answers of the kernel are given in its place, since no interface of the machine
 * exists: the permanent address (ETHTOOL_GPERMADDR) and the addresses (getifaddrs).
 */
const ASK = `
import ctypes, errno, fcntl, importlib.metadata, json, logging, socket, sys
import psutil
from oslo_config import cfg
from ironic_python_agent import config, encoding, hardware, inspector, netutils, utils

logging.basicConfig(stream=sys.stderr, level=logging.INFO)
with open('/run/machine/links.json') as text:
    LINKS = {link['name']: link for link in json.load(text)}

def ioctl(fd, request, argument=0, mutate=True, real=fcntl.ioctl):
    if request != netutils.SIOCETHTOOL:
        return real(fd, request, argument)
    link = LINKS.get(argument.ifr_ifrn.decode())
    if link is None:
        raise OSError(errno.ENODEV, 'no such device')
    asked = argument.ifr_data_ethtool_perm_addr.contents
    if asked.cmd != netutils.ETHTOOL_GPERMADDR:
        raise OSError(errno.EOPNOTSUPP, 'not supported')
    octets = bytes.fromhex(link.get('permanentAddress', '00:00:00:00:00:00').replace(':', ''))
    asked.size = len(octets)
    ctypes.memmove(asked.data, octets, len(octets))

def net_if_addrs():
    def of(link):
        if 'ipv4' in link:
            yield socket.AF_INET, link['ipv4']
        for address in link.get('ipv6', ()):
            local = '%' + link['name'] if address.startswith('fe80:') else ''
            yield socket.AF_INET6, address + local
        yield socket.AF_PACKET, link['address']
    def one(family, address):
        return type('snicaddr', (), {'family': family, 'address': address})
    return {name: [one(*pair) for pair in of(link)] for name, link in LINKS.items()}

fcntl.ioctl = ioctl
psutil.net_if_addrs = net_if_addrs
names = sys.argv[1].split(',')
cfg.CONF([], project='ironic-python-agent')
cfg.CONF.set_override('inspection_dhcp_wait_timeout', 0)
cfg.CONF.set_override('inspection_collectors', sys.argv[1])
inspected, failures = {}, utils.AccumulatedFailures()
for extension in inspector.extension_manager(names):
    extension.plugin(inspected, failures)
inspected['error'] = failures.get_error()
hardware.cache_node({'uuid': 'd0f5c7b5', 'properties': {}, 'instance_info': {}, 'skip_bmc_detect': True})
print(encoding.RESTJSONEncoder().encode({
    'version': importlib.metadata.version('ironic-python-agent'),
    'inspected': inspected,
    'withoutBmc': {
        key: value
        for key, value in hardware.list_hardware_info(use_cache=False).items()
        if key.startswith('bmc_')
    },
}))
`

/** @throws ProcessError with its last words */
export async function askPythonAgent({ exec }: Pick<Sandbox, 'exec'>): Promise<PythonAgentAnswer> {
  const { stdout } = await exec(['python3', '-c', ASK, COLLECTORS.join(',')], {
    timeoutMs: 300_000,
  })
  return JSON.parse(stdout) as PythonAgentAnswer
}
