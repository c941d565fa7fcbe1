// SPDX-License-Identifier: Apache-2.0
// Owns why this agent differs from ironic-python-agent, by the name of what differs, and how where the tables cannot tell.
// A command, step or field that does not differ has no row; a test holds it.

export interface Reason {
  /** How ours is, where the tables do not say. */
  readonly ours?: string
  readonly why: string
}

const PARTITIONS = 'sizes and alignment are constants of the layout (docs/partition-images.md)'
const QEMU_IMG = 'qemu-img is not used: images are unpacked while they come (docs/formats.md)'
const NO_UDEV_POLLING =
  'partitions are reached by their offset on the disk; nothing waits for their nodes'

const DAEMON =
  'of the command ironic-collect-introspection-data, which posts again and again from a running instance; the agent posts once'

/** Differences of what both have: another default, another way. */
export const REASONS: Readonly<Record<string, Reason>> = {
  md5_enabled: {
    why: 'conductors of 21.4 send MD5 sums and no word on them; newer ones say it in their answer to the lookup, which wins',
  },
  introspection_daemon: { why: DAEMON },
  introspection_daemon_post_interval: { why: DAEMON },
  agent_token_required: { why: 'of IPA 2023.1; a token is always required' },
  enable_vlan_interfaces: {
    ours: 'VLANs by LLDP without collect_lldp too; `eth0` may be a MAC address',
    why: 'who names no number has asked for what the switch says',
  },
  disable_deep_image_inspection: { why: 'an image is always looked at before the disk is touched' },
  efi_system_partition_size: { why: PARTITIONS },
  bios_boot_partition_size: { why: PARTITIONS },
  dd_block_size: { why: 'dd is not used; the image is written in pieces of 1 MiB' },
  partition_detection_attempts: { why: NO_UDEV_POLLING },
  partprobe_attempts: { why: NO_UDEV_POLLING },
  image_convert_memory_limit: { why: QEMU_IMG },
  image_convert_attempts: { why: QEMU_IMG },
  check_device_interval: { why: NO_UDEV_POLLING },
  check_device_max_retries: { why: NO_UDEV_POLLING },
  use_mdns: {
    ours: 'as IPA; of several URLs one may be `mdns`',
    why: 'docs/network.md',
  },
  metrics_backend: {
    ours: 'Ironic changes it by `[metrics]agent_backend = statsd`, and then all of [metrics] and [metrics_statsd]',
    why: 'conductors send `noop` with every lookup; IPA means to obey and does not (docs/metrics.md)',
  },
  metrics_prepend_host: {
    ours: 'the host name is prepended',
    why: 'as Ironic documents it; IPA gives its metrics no host name',
  },
  execute_bootc_install: {
    ours: 'by a loop device without its first and last MiB; the container has no network',
    why: 'nothing on the disk boots before all is there (docs/bootable-containers.md)',
  },
  wipe_special_filesystems: {
    why: 'its name says the opposite of what it does; guard_special_filesystems switches the guard',
  },
  agent_burnin_fio_network_pairing_timeout: {
    ours: '86400, and it holds for partners that are named',
    why: 'nodes are cleaned one after the other; IPA waits for a named partner for ever',
  },
  agent_burnin_fio_network_pairing_group_name: { why: 'no coordination backend (docs/steps.md)' },
  agent_burnin_fio_network_pairing_backend_url: {
    ours: 'refused, with what to do instead',
    why: 'each backend of tooz is a client in Python of a service of its own',
  },
  erase_pstore: {
    ours: 'looks afterwards, answers with the number',
    why: 'firmware keeps some records',
  },
  'clean_uefi_nvram(match_patterns)': {
    ours: 'Python patterns, translated; 100 at most, 10 s in all',
    why: 'a pattern that takes for ever would keep the agent for ever',
  },
  clean_uefi_nvram: {
    ours: 'names what went and what stays; nothing to do on BIOS machines',
    why: 'one runbook serves machines of both kinds',
  },
  erase_devices: {
    ours: 'proves itself, answers with a sentence for each disk; drives that cannot format are sanitized',
    why: 'the word of a drive is no proof',
  },
  erase_devices_express: { ours: 'as erase_devices', why: 'the word of a drive is no proof' },
  erase_devices_metadata: {
    ours: 'zeroes more, and reads it back',
    why: 'superblocks of RAID and ZFS at the end of disks and partitions (docs/disks.md)',
  },
  burnin_disk: {
    ours: 'leaves alone what cleaning leaves alone; no dumps of bad blocks',
    why: 'it destroys what is on disks; dumps would fill the ramdisk',
  },
  burnin_cpu: { ours: 'verifies what is computed', why: 'else a wrong result passes' },
  burnin_memory: { ours: 'verifies what is read', why: 'else a flipped bit passes' },
  burnin_gpu: {
    ours: 'reads the verdict of gpu-burn',
    why: 'older ones end with 0 whatever they found',
  },
  create_configuration: { ours: 'takes back what failed half-way', why: 'docs/software-raid.md' },
  'system.lockdown': {
    ours: 'ends seeding too',
    why: 'IPA has no swarm; a machine that is locked down serves nobody',
  },
  'poll.set_node_info': { ours: 'always refused', why: 'there is no stand-alone mode' },
  'rescue.finalize_rescue': { ours: 'SHA-512 crypt', why: 'as IPA 2023.1; every login knows it' },
}

/** Of steps and arguments that only this agent has; options say it themselves. */
export const OURS_ALONE: Readonly<Record<string, string>> = {
  'erase_devices(verify)': 'how much the proof looks at',
  'erase_devices(nvme_erase_method)': 'format or sanitize, by name',
  'erase_devices_express(verify)': 'how much the proof looks at',
  'erase_devices_express(nvme_erase_method)': 'format or sanitize, by name',
}
