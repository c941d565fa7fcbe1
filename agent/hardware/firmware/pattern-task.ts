// SPDX-License-Identifier: Apache-2.0
// Owns what the agent and the thread of its patterns say to each other.

/** What the thread is told: patterns as JavaScript has them. */
export interface PatternTask {
  readonly sources: readonly string[]
  readonly flags: string
  readonly texts: readonly string[]
}

/** What the thread says: that it begins, and for each pattern in order the indices of the texts it is found in. */
export type PatternNews = 'ready' | { readonly matches: readonly number[] }
