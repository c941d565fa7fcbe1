// SPDX-License-Identifier: Apache-2.0
// Owns the hardware managers of tests: real implementations of the interface, as small as can be.
import type {
  HardwareManager,
  StepCall,
  StepImplementation,
} from '../../../agent/hardware/manager.ts'

/** A manager called `label` that supports the machine at `support` and offers what `parts` say. */
export function managerWith(
  label: string,
  support: number,
  parts: Partial<HardwareManager> = {},
): HardwareManager {
  return {
    name: label.toLowerCase(),
    version: '1.0',
    label,
    evaluateHardwareSupport: async () => support,
    steps: [],
    ...parts,
  }
}

/** A deploy step that answers with `answer`. */
export function stepWith(
  name: string,
  priority: number,
  answer: unknown = null,
  accepts: readonly string[] = [],
): StepImplementation {
  return {
    kinds: ['deploy'],
    announce: { step: name, priority, interface: 'deploy', reboot_requested: false },
    accepts,
    run: async () => answer,
  }
}

/** A call with these arguments, on a node without properties. */
export function callWith(args: StepCall['args'] = {}): StepCall {
  return {
    node: {},
    ports: [],
    args,
    context: {
      signal: new AbortController().signal,
      events: { publish: () => undefined },
      writeImage: async () => 'written',
      installContainer: async () => 'installed',
      releaseDisks: async () => undefined,
      stopSeeding: async () => undefined,
    },
  }
}
