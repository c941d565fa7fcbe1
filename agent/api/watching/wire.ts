// SPDX-License-Identifier: Apache-2.0
// Owns the names of events and states on the wire: snake_case, as everything an operator reads of Ironic. Facts are
// in the names of the log already. Does not redact; the stream does.

/** Objects whose keys are names of the log, or of somebody else. */
const AS_THEY_ARE = new Set(['fields', 'err'])

/** A deep copy with keys in snake_case. */
export function toWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toWire)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      AS_THEY_ARE.has(key) ? item : toWire(item),
    ]),
  )
}
