// SPDX-License-Identifier: Apache-2.0
// Owns the options of finding Ironic by multicast DNS, a part of the table in options.ts (contract 1.3, 1.6). Names in files
// are ironic-python-agent's.
import { bool, int, list, type OptionRow } from '../option-row.ts'

export const MDNS_OPTIONS = {
  use_mdns: bool(
    false,
    'Find Ironic by mDNS where api_url is not set; an api_url or inspection_callback_url of mdns asks for it by itself (docs/network.md)',
    { karg: 'ipa-use-mdns', section: 'mdns' },
  ),
  mdns_allowed_overrides: list(
    ['inspection_callback_url', 'ntp_server'],
    'Options that whoever answers by mDNS may set',
    { section: 'mdns', key: 'allowed_overrides' },
  ),
  mdns_lookup_attempts: int(3, 'How often to ask, about 3 s each', {
    section: 'mdns',
    key: 'lookup_attempts',
    min: 1,
    max: 100,
  }),
  mdns_interfaces: list([], 'Addresses of the interfaces to ask on; all of them if unset', {
    section: 'mdns',
    key: 'interfaces',
  }),
} as const satisfies Record<string, OptionRow>
