// SPDX-License-Identifier: Apache-2.0
// Owns who gets a connection when there are more peers than connections: neighbours first, because a rack
// that knows itself lets each piece cross once, but never all, because somebody has to bring it across.
// Does not know who is near and closes nothing.

/** Share of all connections that far peers keep beside more neighbours than fit. */
const FAR_SHARE = 0.25

/** Those that are being made count too. */
export interface Connections {
  readonly near: number
  readonly far: number
}

/** `replace …`: take the newcomer and close one of those. */
export type Verdict = 'take' | 'refuse' | 'replace near' | 'replace far'

/** Whether a newcomer is connected to, or let in. There is room for everybody until `limit`. */
export function judgeNewcomer({ near, far }: Connections, isNear: boolean, limit: number): Verdict {
  if (near + far < limit) return 'take'
  // one threshold for both: nobody is closed for one that would be closed for it in turn
  const farKept = Math.floor(limit * FAR_SHARE)
  if (isNear) return far > farKept ? 'replace far' : 'refuse'
  return far < farKept ? 'replace near' : 'refuse'
}
