// SPDX-License-Identifier: Apache-2.0
// Owns the commands around this machine: run, inventory, inspect, network, config. Flags and help; the work is
// elsewhere.
import type { Verb } from '../verb.ts'
import { type Add, addGroup } from './adding.ts'

export function addMachineVerbs(program: Verb, add: Add): void {
  add(
    program,
    'run',
    'be the deploy agent: look the node up, serve the API, heartbeat',
    async () => (await import('../run.ts')).runRun,
    { areOptionsShown: true },
  )
    .option('--start-after <file>', 'wait until this file is there, at most 3 minutes')
    .example('as the ramdisk does', 'ironswarm run')
    .example(
      'for a laboratory',
      'ironswarm run --api-url http://ironic:6385 --block-devices disk.img',
    )
  add(
    program,
    'inventory',
    'print the hardware inventory as JSON',
    async () => (await import('../inventory.ts')).runInventory,
  ).example('what Ironic gets to know of this machine', 'ironswarm inventory')
  add(
    program,
    'inspect',
    'print what in-band inspection would post, as JSON',
    async () => (await import('../inventory.ts')).runInspect,
  ).example(
    'with the collectors that are named',
    'ironswarm inspect --inspection-collectors default,pci-devices',
  )
  addDoctor(program, add)
  addNetworkVerbs(program, add)
  add(
    program,
    'config',
    'print every option, its value and where that comes from',
    async () => (await import('../config.ts')).runConfig,
    { areOptionsShown: true },
  )
    .option('--json', 'one JSON object')
    .option('--markdown', 'the option table of docs/configuration.md')
    .example('what an agent would work with here', 'ironswarm config')
}

function addDoctor(program: Verb, add: Add): void {
  add(
    program,
    'doctor',
    'check this machine and the servers that are named: what works, what does not, what to do',
    async () => (await import('../doctor/doctor.ts')).runDoctor,
  )
    .repeatable('--url <url>', 'an image: does its server answer, and does it give parts')
    .option('--torrent <file>', 'a .torrent: do its trackers and web seeds answer')
    .repeatable('--tracker <url>', 'announce URL besides those of the torrent')
    .option('--device <path>', 'the disk that is to be written; all disks if left out')
    .option('--json', 'one JSON object')
    .example('this machine', 'ironswarm doctor')
    .example(
      'all that a deploy needs',
      'ironswarm doctor --url http://host/debian.raw --torrent debian.torrent --device /dev/sdX --api-url http://ironic:6385',
    )
}

function addNetworkVerbs(program: Verb, add: Add): void {
  const network = addGroup(program, 'network', 'the network of this machine')
  add(
    network,
    'plan',
    'print the ip commands that a network_data.json asks for, touching nothing',
    async () => (await import('../network/network.ts')).runNetworkPlan,
  )
    .needs('--network-data <file>', 'network_data.json of a config drive')
    .example('what would be run', 'ironswarm network plan --network-data network_data.json')
  add(
    network,
    'apply',
    'run them; print the interfaces that DHCP must leave alone, one a line',
    async () => (await import('../network/network.ts')).runNetworkApply,
  )
    .needs('--network-data <file>', 'network_data.json of a config drive')
    .option('--resolv-conf <file>', 'write its name servers into this file, if it has any')
    .example(
      'set the network up',
      'ironswarm network apply --network-data network_data.json --resolv-conf /etc/resolv.conf',
    )
  add(
    network,
    'vlans',
    'make the VLAN interfaces of enable_vlan_interfaces; print their names',
    async () => (await import('../network/network.ts')).runNetworkVlans,
  ).example('one interface', 'ironswarm network vlans --enable-vlan-interfaces eth0.100')
}
