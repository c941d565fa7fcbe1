// SPDX-License-Identifier: Apache-2.0
// Owns the names of events and states on the wire: snake_case, as everything an operator reads of Ironic. Facts are
// in the names of the log already. Does not redact; the stream does.
import { snakeCase } from '../../core/json.ts'

/** Objects whose keys are names of the log, or of somebody else. */
const AS_THEY_ARE = new Set(['fields', 'err'])

/** A deep copy with keys in snake_case. */
export function toWire(value: unknown): unknown {
  return snakeCase(value, AS_THEY_ARE)
}
