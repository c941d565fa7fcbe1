// SPDX-License-Identifier: Apache-2.0
// Owns the rows of ironic.conf for an Ironic, 29 or later, that has machines inspected by their agents.
import type { Sections } from './conf.ts'
import type { IronicProgram } from './program.ts'

/** Ironic's first release with an inspection of its own that Debian has. */
export const FIRST_AGENT_INSPECTION = 29

/** With every hook that makes something of what agents post; 29 knows none for the processors. */
export function settingsForAgentInspection({ version }: Pick<IronicProgram, 'version'>): Sections {
  const ofProcessors = Number.parseInt(version, 10) >= 35 ? ['cpus'] : []
  const hooks = ['memory', 'boot-mode', 'cpu-capabilities', 'pci-devices', 'extra-hardware']
  return {
    DEFAULT: { enabled_inspect_interfaces: 'no-inspect,agent' },
    inspector: { add_ports: 'all', hooks: ['$default_hooks', ...ofProcessors, ...hooks].join() },
  }
}
