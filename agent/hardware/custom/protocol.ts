// SPDX-License-Identifier: Apache-2.0
// Owns what a third-party manager's thread and the agent tell each other. Values cross as JSON text: nothing else
// can be a value of the interface, and its length is known before it is read.

/** Given at the start. */
export interface ManagerTask {
  readonly path: string
  readonly apiVersion: number
  /** Names of all calls there are. */
  readonly calls: readonly string[]
  /** Longest text of a value, characters. */
  readonly maxChars: number
}

/** What came of a call, either way. `json` is absent for nothing. */
export type Outcome =
  | { readonly json?: string }
  /** `type` may be any text: whoever receives it looks it up. */
  | { readonly type: string; readonly details: string }

/** To the thread. Calls are numbered from 1. */
export type ToManager =
  | {
      readonly kind: 'call'
      readonly id: number
      readonly method: string
      readonly argsJson: string
    }
  | {
      readonly kind: 'step'
      readonly id: number
      readonly index: number
      readonly argsJson: string
    }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'answer'; readonly question: number; readonly outcome: Outcome }

export type Asked = 'exec' | 'writeImage'

/** From the thread. The first is `loaded` or `failed`. */
export type FromManager =
  | { readonly kind: 'loaded'; readonly manifestJson: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'outcome'; readonly id: number; readonly outcome: Outcome }
  | {
      readonly kind: 'log'
      readonly level: string
      readonly message: string
      readonly factsJson: string
    }
  /** A question of call `id`, 0 while it is loaded. */
  | {
      readonly kind: 'ask'
      readonly question: number
      readonly id: number
      readonly what: Asked
      readonly argsJson: string
    }
