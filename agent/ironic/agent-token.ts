// SPDX-License-Identifier: Apache-2.0
// Owns the agent token: adopts it, keeps it across restarts of the process, compares candidates in
// constant time (contract 2.6, 4.5). Does not decide which requests need one; api/ does.
import { createHash, timingSafeEqual } from 'node:crypto'
import { openRunState } from './run-state.ts'

/**
 * `kept`: we have one, and Ironic gave no other · `missing`: masked and unknown, nothing may be served before
 * the next boot · `absent`: Ironic gave none, and we have none; it may give one when it is asked again.
 */
export type TokenOutcome = 'issued' | 'kept' | 'missing' | 'absent'

export interface TokenKeeper {
  /**
   * Takes `config.agent_token` of a lookup. `issued` means that Ironic handed it out just now: it
   * believes that the machine has booted freshly, so what is left of an earlier boot is dropped.
   */
  accept(token: unknown): TokenOutcome
  /** Constant time in the candidate; false while there is no token. */
  verify(candidate: unknown): boolean
  current(): string | undefined
}

export interface TokenKeeperOptions {
  readonly runDir: string
  /** Option agent_token: given by virtual media. */
  readonly embedded?: string | null
}

/** Shortest string that is taken for a token (contract 2.6). */
const MIN_TOKEN_LENGTH = 32
const MASKED = '******'
const TOKEN_FILE = 'agent-token'
/** Of commands/history.ts and address.ts: true of one boot only. */
const FILES_OF_A_BOOT = ['commands.json', 'advertised-address'] as const

/** Reads the token of an earlier process of this boot, if there is one. Throws InvalidConfigError. */
export function createTokenKeeper(options: TokenKeeperOptions): TokenKeeper {
  const state = openRunState(options.runDir)
  // The kept one is newer: a lookup of this boot has brought or confirmed it.
  let token = state.read(TOKEN_FILE) || options.embedded || undefined

  const adopt = (candidate: string): TokenOutcome => {
    if (candidate === token) return 'kept'
    for (const file of FILES_OF_A_BOOT) state.remove(file)
    state.write(TOKEN_FILE, candidate)
    token = candidate
    return 'issued'
  }

  return {
    current: () => token,
    accept: (candidate) => {
      if (typeof candidate === 'string' && candidate.length >= MIN_TOKEN_LENGTH) {
        return adopt(candidate)
      }
      // everything but `******` is ignored: only that says that a token was handed out before
      if (token === undefined) return candidate === MASKED ? 'missing' : 'absent'
      if (candidate === MASKED) state.write(TOKEN_FILE, token)
      return 'kept'
    },
    verify: (candidate) => {
      if (typeof candidate !== 'string' || token === undefined) return false
      return timingSafeEqual(digest(candidate), digest(token))
    },
  }
}

/** Equal lengths for timingSafeEqual, whatever the candidate's length. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
