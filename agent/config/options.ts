// SPDX-License-Identifier: Apache-2.0
// Owns the one table of options: name, kernel parameter, type, default, meaning. Everything that reads,
// prints or documents a setting walks this table. Does not read any source; config/load.ts does.

import { CONTAINER_OPTIONS } from './container-options.ts'
import { bool, bytes, int, list, type OptionRow, path, seconds, string } from './option-row.ts'
import { SWARM_OPTIONS } from './swarm-options.ts'
import { MDNS_OPTIONS } from './tables/mdns-options.ts'
import { METRICS_OPTIONS } from './tables/metrics-options.ts'

/** The option table. Keys are IPA's option names (contract 1.2, 1.3); ours begin with `swarm_` or say `own`. */
export const OPTIONS = {
  // conversation with Ironic
  api_url: list([], 'URLs of the Ironic API, tried in order; without /v1', {
    karg: 'ipa-api-url',
    pattern: /^(https?:\/\/[^\s/]+.*|mdns)$/,
    patternDoc: 'http(s)://host[:port] or mdns',
  }),
  global_request_id: string('Sent as X-OpenStack-Request-ID on every call to Ironic', {
    karg: 'ipa-global-request-id',
  }),
  ironic_api_version: string('x.y; switches version detection off', {
    karg: 'ipa-ironic-api-version',
    pattern: /^\d+\.\d+$/,
    patternDoc: 'x.y, for example 1.68',
  }),
  agent_token: string('Pre-generated agent token (virtual media)', {
    karg: 'ipa-agent-token',
    secret: true,
  }),
  lookup_timeout: seconds(600, 'Give up looking the node up after this long', {
    karg: 'ipa-lookup-timeout',
  }),
  lookup_interval: seconds(1, 'Shortest wait between two lookups', { karg: 'ipa-lookup-interval' }),
  http_request_timeout: seconds(30, 'Deadline of one call to Ironic', {
    karg: 'ipa-http-request-timeout',
  }),
  status_message_interval: seconds(
    30,
    'Tell Ironic this often how far a running command is (`agent_status_message`, from API 1.72); 0 = never',
    { karg: 'ipa-status-message-interval', own: true },
  ),
  // the agent's own API
  listen_host: string('Address to listen on; :: if IPv6 is enabled, else 0.0.0.0', {
    karg: 'ipa-listen-host',
  }),
  listen_port: int(9999, 'Port to listen on', { karg: 'ipa-listen-port', min: 0, max: 65535 }),
  advertise_host: string('Address the conductor should call; found by source route if unset', {
    karg: 'ipa-advertise-host',
  }),
  advertise_port: int(9999, 'Port the conductor should call', {
    karg: 'ipa-advertise-port',
    min: 0,
    max: 65535,
  }),
  advertise_protocol: {
    type: 'enum',
    default: 'http',
    values: ['http', 'https'],
    doc: 'Scheme of callback_url; auto TLS forces https',
    karg: 'ipa-advertise-protocol',
  } as const,
  network_interface: string("Advertise this interface's IPv4 address", {
    karg: 'ipa-network-interface',
  }),
  ip_lookup_attempts: int(6, 'Rounds of source-route lookup', {
    karg: 'ipa-ip-lookup-attempts',
    min: 1,
  }),
  ip_lookup_sleep: seconds(10, 'Wait between these rounds', { karg: 'ipa-ip-lookup-timeout' }),
  listen_tls: bool(false, 'Serve with tls_cert_file and tls_key_file'),
  tls_cert_file: string('Certificate of the API server (PEM)', { formerly: 'ssl.cert_file' }),
  tls_key_file: string('Key of the API server (PEM)', { formerly: 'ssl.key_file' }),
  enable_auto_tls: bool(true, 'Make a self-signed certificate and send it with heartbeats'),
  auto_tls_allowed_clock_skew: seconds(3600, 'not-before of that certificate lies this far back'),
  tls_min_version: {
    type: 'enum',
    default: '1.2',
    values: ['1.2', '1.3'],
    doc: 'Lowest TLS version of server and clients',
    karg: 'ipa-tls-min-version',
  } as const,
  tls_cipher_suites: string(
    "Cipher suites of TLS 1.2 by OpenSSL's names, of server and clients; those of TLS 1.3 stay",
    {
      karg: 'ipa-tls-cipher-suites',
      pattern: /^[\w!+@=.-]+([:,\s]+[\w!+@=.-]+)*$/,
      patternDoc: 'names separated by colons, as openssl-ciphers(1) has them',
    },
  ),
  tls_certificate_curve: {
    type: 'enum',
    default: 'p384',
    values: ['p256', 'p384', 'p521'],
    doc: 'Curve of the self-signed certificate',
    karg: 'ipa-tls-certificate-curve',
  } as const,
  // TLS and credentials as a client
  insecure: bool(false, 'Do not verify TLS servers', { karg: 'ipa-insecure' }),
  cafile: string('CA bundle for Ironic, images and config drives (PEM)'),
  certfile: string('Client certificate (PEM); only with keyfile'),
  keyfile: string('Client key (PEM); only with certfile'),
  image_server_auth_strategy: {
    type: 'enum',
    default: 'noauth',
    values: ['noauth', 'http_basic'],
    doc: 'How to authenticate to the image server when image_info says nothing',
  } as const,
  image_server_user: string('User for http_basic'),
  image_server_password: string('Password for http_basic', { secret: true }),
  // images
  image_download_connection_timeout: seconds(60, 'Deadline for connecting and for each read', {
    karg: 'ipa-image-download-connection-timeout',
  }),
  image_download_connection_retries: int(9, 'Retries of one url', {
    karg: 'ipa-image-download-connection-retries',
    min: 0,
  }),
  image_download_connection_retry_interval: seconds(10, 'Longest wait between these retries', {
    karg: 'ipa-image-download-connection-retry-interval',
  }),
  image_download_max_duration: seconds(
    0,
    'Longest time from the first question to the last byte of an image; 0 = no limit',
    {
      karg: 'ipa-image-download-max-duration',
    },
  ),
  image_download_low_speed_limit: bytes(
    1024,
    'Slowest that a server may send, bytes per second; 0 = no limit',
    { karg: 'ipa-image-download-low-speed-limit', own: true },
  ),
  image_download_low_speed_time: seconds(
    60,
    'Average it over this long; a slower answer is broken off and asked for anew from where it stopped',
    { karg: 'ipa-image-download-low-speed-time', own: true },
  ),
  md5_enabled: bool(true, 'Accept MD5 checksums'),
  permitted_image_formats: list(
    ['raw', 'gpt', 'qcow2'],
    'Formats that an image may have, of raw, gpt, iso, qcow2, vmdk, vhd, vhdx and vdi; what a file is packed with is none (docs/formats.md)',
  ),
  disable_deep_image_inspection: bool(false, 'Trust disk_format without looking', {
    noEffect: true,
  }),
  ignore_bootloader_failure: bool(false, 'A failing bootloader set-up does not fail the deploy', {
    karg: 'ipa-ignore-bootloader-failure',
  }),
  enable_bios_bootloader_install: bool(
    false,
    'Run grub-install from a partition image, confined (CVE-2026-43003); Ironic sends it with the lookup',
  ),
  config_drive_rebuild: bool(false, 'Always rebuild the config drive as vfat'),
  kexec: bool(false, 'run_image after sync starts the instance by kexec', {
    karg: 'ipa-kexec',
    own: true,
  }),
  // hardware
  disk_wait_attempts: int(10, 'How often to look for a root disk; 0 = do not wait', {
    karg: 'ipa-disk-wait-attempts',
    min: 0,
  }),
  disk_wait_delay: seconds(3, 'Wait between these looks', { karg: 'ipa-disk-wait-delay' }),
  disk_timeout: seconds(300, 'Longest time of one transfer with the target disk; 0 = no limit', {
    karg: 'ipa-disk-timeout',
    own: true,
  }),
  zeroes_verify: {
    type: 'enum',
    default: 'full',
    values: ['full', 'sample'],
    doc: 'Read back zeros that the disk itself made of the holes of an image: each byte, or the ends of each 16 MiB',
    karg: 'ipa-zeroes-verify',
    own: true,
  } as const,
  hardware_initialization_delay: seconds(0, 'Wait before looking at the hardware', {
    karg: 'ipa-hardware-initialization-delay',
  }),
  hardware_managers: path(
    '/usr/lib/ironswarm/hardware-managers',
    'Directory of third-party hardware managers, one .ts or .js file each',
    { karg: 'ipa-hardware-managers', own: true },
  ),
  hardware_manager_timeout: {
    type: 'seconds',
    default: 60,
    min: 1,
    max: 86400,
    doc: 'Longest that a third-party hardware manager may take to load, or for one answer; steps have limits of their own',
    karg: 'ipa-hardware-manager-timeout',
    own: true,
  } as const,
  guard_special_filesystems: bool(true, 'Never erase disks with special file systems', {
    karg: 'ipa-guard-special-filesystems',
  }),
  erase_raid_members: bool(
    false,
    'Erase and deploy to disks that carry the signature of a RAID array nothing has assembled',
    { karg: 'ipa-erase-raid-members', own: true },
  ),
  erase_verify: {
    type: 'enum',
    default: 'sample',
    values: ['sample', 'full', 'off'],
    doc: 'Prove erasures by markers that are gone afterwards: at 64 places, or in each MiB and by reading every byte',
    karg: 'ipa-erase-verify',
    own: true,
  } as const,
  nvme_erase_method: {
    type: 'enum',
    default: 'auto',
    values: ['auto', 'format', 'sanitize'],
    doc: 'How NVMe drives erase themselves; auto: format where the drive can, else sanitize',
    karg: 'ipa-nvme-erase-method',
    own: true,
  } as const,
  enable_discard_erase: bool(
    false,
    'Discard a disk whose secure erase failed, if its markers then read as zeros, instead of overwriting it',
    { karg: 'ipa-enable-discard-erase' },
  ),
  collect_lldp: bool(false, 'Put what switches say of themselves (LLDP) into the inventory', {
    karg: 'ipa-collect-lldp',
  }),
  lldp_timeout: seconds(
    30,
    'Listen for LLDP until nothing new has come for this long; 0: not at all',
    { karg: 'ipa-lldp-timeout' },
  ),
  // inspection
  inspection_callback_url: list(
    [],
    'URLs that the inventory is posted to before the lookup, tried in order (docs/inspection.md)',
    {
      karg: 'ipa-inspection-callback-url',
      pattern: /^(https?:\/\/[^\s/]+.*|mdns)$/,
      patternDoc: 'http(s)://host[:port]/v1/continue_inspection, …/v1/continue or mdns',
    },
  ),
  inspection_collectors: list(
    [],
    'Collectors to run, of default, logs, extra-hardware, pci-devices, usb-devices, numa-topology, dmi-decode and lldp; default,logs if unset. Set, with api_url but without inspection_callback_url: posted to Ironic',
    { karg: 'ipa-inspection-collectors' },
  ),
  inspection_dhcp_wait_timeout: seconds(
    60,
    'Longest wait, before the inventory is taken for inspection, for an IPv4 address of the interface of BOOTIF; 0 = none',
    { karg: 'ipa-inspection-dhcp-wait-timeout' },
  ),
  inspection_dhcp_all_interfaces: bool(false, 'Wait for an address on every interface instead', {
    karg: 'ipa-inspection-dhcp-all-interfaces',
  }),
  inspection_benchmarks: list([], 'Benchmarks of extra-hardware: cpu, disk, mem', {
    karg: 'ipa-inspection-benchmarks',
  }),
  bootif: string('MAC of the interface the machine booted from, as PXE or iPXE write it', {
    karg: 'BOOTIF',
  }),
  boot_method: string('vmedia: look for parameters.txt on virtual media', { karg: 'boot_method' }),
  debug: bool(false, 'Log at debug level', { karg: 'ipa-debug' }),
  consoles: list(
    [],
    'Devices that show the agent, for example /dev/tty0,/dev/ttyS0: a screen, or plain lines on a serial one',
    {
      karg: 'ipa-consoles',
      own: true,
    },
  ),
  metrics: bool(true, 'Serve metrics for Prometheus at /metrics (docs/metrics.md)', {
    karg: 'ipa-metrics',
    own: true,
  }),
  status_page: bool(true, 'Serve browsers a status page at / (docs/watching.md)', {
    karg: 'ipa-status-page',
    own: true,
  }),
  ...CONTAINER_OPTIONS,
  ...SWARM_OPTIONS,
  ...METRICS_OPTIONS,
  ...MDNS_OPTIONS,
  // where the agent lives; for laboratories and stand-alone use
  run_dir: path('/run/ironswarm', 'Root-only directory for token, key and command results', {
    own: true,
  }),
  os_root: path('/', 'Root under which /proc, /sys and /etc are read', { own: true }),
  block_devices: list([], 'Only these devices or files are disks: to deploy to and to erase', {
    karg: 'ipa-block-devices',
    own: true,
  }),
  machine_control: {
    type: 'enum',
    default: 'real',
    values: ['real', 'log'],
    doc: 'log: power_off, reboot and efibootmgr are logged, not run (laboratories)',
    own: true,
  } as const,
  // network and clock
  enable_vlan_interfaces: list(
    [],
    'VLAN interfaces to make: eth0.100, MAC.100; eth0, MAC or all: those that the switch names by LLDP',
    { karg: 'ipa-enable-vlan-interfaces' },
  ),
  ntp_server: string(
    "NTP server that the clock is set from, at the start and before the machine's end",
    {
      karg: 'ipa-ntp-server',
      // what is neither would be read as an option or a directive (CVE-2026-66138)
      pattern:
        /^(?=.{1,253}$)(?:\w(?:[\w-]*\w)?\.)*\w(?:[\w-]*\w)?\.?$|^(?=.{2,45}$)[\dA-Fa-f:]*:[\dA-Fa-f:.]*$/,
      patternDoc: 'a host name or an IP address, without port and brackets',
    },
  ),
  fail_if_clock_not_set: bool(
    false,
    'Stop if the clock cannot be set: the agent at its start, power_off and run_image at the end',
  ),
  agent_skip_bmc_detect: bool(
    false,
    'Leave the addresses of the BMC out of the inventory; Ironic says so in its answer to the lookup',
    { own: true },
  ),
  // IPA's; those with `noEffect` are accepted so that its files and kernel lines are read as they are
  introspection_daemon: bool(false, 'Post inspection results again and again', { noEffect: true }),
  introspection_daemon_post_interval: seconds(300, 'Time between these posts', { noEffect: true }),
  inject_files_priority: int(0, 'Priority of the inject_files deploy step', {
    karg: 'ipa-inject-files-priority',
    min: 0,
    max: 99,
  }),
  agent_token_required: bool(false, 'Of IPA 2023.1; a token is always required', {
    karg: 'ipa-agent-token-required',
    noEffect: true,
  }),
  disable_bootc_deploy: bool(false, 'Refuse bootable containers'),
} as const satisfies Record<string, OptionRow>

export type OptionName = keyof typeof OPTIONS

type ValueOf<R extends OptionRow> = R['type'] extends 'bool'
  ? boolean
  : R['type'] extends 'int' | 'number' | 'seconds' | 'bytes'
    ? number
    : R['type'] extends 'list'
      ? readonly string[]
      : R['type'] extends 'enum'
        ? R extends { values: readonly (infer V)[] }
          ? V
          : never
        : R['default'] extends string
          ? string
          : string | null

/** The frozen result of config/load.ts; durations in seconds as IPA has them, sizes in bytes. */
export type Config = { readonly [K in OptionName]: ValueOf<(typeof OPTIONS)[K]> }
