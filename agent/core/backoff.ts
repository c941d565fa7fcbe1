// SPDX-License-Identifier: Apache-2.0
// Owns retry arithmetic: how long to wait, how often. Does not sleep by itself (core/deadline.ts does).
import { isAgentError } from './errors.ts'

/** A number in [0, 1): `Math.random` in production, a fixed sequence in tests. */
export type Random = () => number

/** A uniformly drawn duration between two bounds, ms. */
export function uniform(random: Random, minMs: number, maxMs: number): number {
  return minMs + random() * (maxMs - minMs)
}

/**
 * The wait before attempt `attempt + 1` (1-based): uniform between `minMs` and
 * min(2^(attempt-1) * minMs, maxMs), the random-exponential wait of contract 2.4.
 */
export function randomExponential(
  random: Random,
  attempt: number,
  bounds: { minMs: number; maxMs: number },
): number {
  const ceiling = Math.min(bounds.minMs * 2 ** Math.min(attempt - 1, 40), bounds.maxMs)
  return uniform(random, bounds.minMs, Math.max(ceiling, bounds.minMs))
}

/** True if the same source should be asked again. */
export function isTransient(error: unknown): boolean {
  return isAgentError(error) && error.kind === 'transient'
}

/** True if no other source can help either: stop and report. */
export function isFatal(error: unknown): boolean {
  return isAgentError(error) && (error.kind === 'fatal' || error.kind === 'operator')
}
