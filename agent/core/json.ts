// SPDX-License-Identifier: Apache-2.0
// Owns the narrowing of values that came from outside as JSON. Does not validate any one message.

export type JsonObject = { [key: string]: unknown }

/** True for a plain JSON object: not null, not an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object at `key`, or an empty one: `node.instance_info` may be null or absent. */
export function objectAt(value: unknown, key: string): JsonObject {
  const inner = isObject(value) ? value[key] : undefined
  return isObject(inner) ? inner : {}
}

/** The non-empty string at `key`, else undefined. */
export function stringAt(value: unknown, key: string): string | undefined {
  const inner = isObject(value) ? value[key] : undefined
  return typeof inner === 'string' && inner !== '' ? inner : undefined
}

/** Python's and oslo's idea of true, as used for kernel parameters and capabilities (contract 1.1). */
export function isTruthyWord(text: string): boolean {
  return ['1', 'true', 'yes', 'on', 't', 'y'].includes(text.trim().toLowerCase())
}

/**
 * The same value with every key of its objects as `snake_case`: what is told, whatever the code calls it.
 * @param asTheyAre keys whose values keep theirs
 */
export function snakeCase(value: unknown, asTheyAre?: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => snakeCase(item, asTheyAre))
  if (!isObject(value)) return value
  const entries = Object.entries(value).map(([key, inner]) => [
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    asTheyAre?.has(key) ? inner : snakeCase(inner, asTheyAre),
  ])
  return Object.fromEntries(entries)
}
