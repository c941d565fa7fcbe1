// SPDX-License-Identifier: Apache-2.0
// Owns the names that the pages use and this project does not have, by whose they are. A name that only a
// page knows belongs here, or it is a name of ours that is gone.

export const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  bittorrent: ['ut_metadata'],
  ironic: [
    'child_node',
    'deploy_callback_timeout',
    'disable_power_off',
    'disk_label',
    'is_equivalent',
    'parent_node',
  ],
  prometheus: ['insecure_skip_verify'],
  linux: ['discard_zeroes_data'],
  mdadm: ['--examine', '--homehost', '--metadata'],
  node: [
    '--always-sparkplug',
    '--jitless',
    '--max-semi-space-size',
    '--min-semi-space-size',
    '--no-maglev',
    '--no-opt',
    '--no-sparkplug',
    '--single-threaded',
    'maxRequestsPerSocket',
    'setFlagsFromString',
  ],
  bootc: ['--root-size', '--skip-fetch-check', '--via-loopback', '--wipe'],
  podman: ['--authfile', '--cidfile', '--creds', '--network', '--pull', '--rm', '--root'],
  nvme: ['global_data_erased', 'global_erased'],
  'stress-ng': ['--verify'],
  wipefs: ['--force'],
}
