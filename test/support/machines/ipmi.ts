// SPDX-License-Identifier: Apache-2.0
// Owns what ipmitool 1.8.19 prints of a BMC's LAN channels, as the text of its source has it (lib/ipmi_lanp.c,
// lib/ipmi_lanp6.c): the BMC of a recorded machine.
import type { Answers } from './tree.ts'

export function lanAnswer({
  address,
  mac,
}: {
  readonly address: string
  readonly mac: string
}): string {
  return [
    'Set in Progress         : Set Complete',
    'Auth Type Support       : MD5',
    'IP Address Source       : Static Address',
    `IP Address              : ${address}`,
    'Subnet Mask             : 255.255.255.0',
    `MAC Address             : ${mac}`,
    'SNMP Community String   : public',
    'Default Gateway IP      : 192.0.2.1',
    'Default Gateway MAC     : 00:00:00:00:00:00',
    '802.1q VLAN ID          : Disabled\n',
  ].join('\n')
}

/** Each static address is enabled and active, each dynamic one too; one more of each kind is unused. */
export function lan6Answers(
  channel: number,
  of: {
    readonly enables: 'ipv4' | 'ipv6' | 'both'
    readonly statics?: readonly string[]
    readonly dynamics?: readonly string[]
  },
): Answers {
  const { statics = [], dynamics = [] } = of
  const staticText = [
    ...statics.map((address) => [address, 'yes', 'active']),
    ['::', 'no', 'disabled'],
  ]
    .map(([address, enabled, status], index) =>
      [
        `IPv6 Static Address ${index}:`,
        `    Enabled:        ${enabled}`,
        `    Address:        ${address}/64`,
        `    Status:         ${status}\n`,
      ].join('\n'),
    )
    .join('')
  const dynamicText = [
    ...dynamics.map((address) => [address, 'SLAAC', 'active']),
    ['::', 'Static', 'disabled'],
  ]
    .map(([address, source, status], index) =>
      [
        `IPv6 Dynamic Address ${index}:`,
        `    Source/Type:    ${source}`,
        `    Address:        ${address}/64`,
        `    Status:         ${status}\n`,
      ].join('\n'),
    )
    .join('')
  const enables = `IPv6/IPv4 Addressing Enables: ${of.enables}\n`
  const ask = `ipmitool lan6 print ${channel}`
  return {
    [ask]: enables + staticText + dynamicText,
    [`${ask} enables`]: enables,
    [`${ask} static_addr`]: staticText,
    [`${ask} dynamic_addr`]: dynamicText,
  }
}
