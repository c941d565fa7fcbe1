// SPDX-License-Identifier: Apache-2.0
// Owns who is connected to whom in a simulated swarm: the agent gives its connections out by
// connection-quota.ts, and so do these. Does not know what a connection is.
import { MAX_CONNS, OPENED_CONNS } from '../../../agent/sources/swarm/peers/connection-limits.ts'
import { judgeNewcomer, type Verdict } from '../../../agent/sources/swarm/peers/connection-quota.ts'

interface Link<N> {
  readonly ends: readonly [N, N]
  readonly isFar: boolean
  cut(): void
}

export interface Introductions<N> {
  /** Connects the two if both have room, or make room. */
  introduce(a: N, b: N): void
}

/** @param connect makes the connection and returns what ends it */
export function createIntroductions<N>(options: {
  isFar(a: N, b: N): boolean
  connect(a: N, b: N): () => void
}): Introductions<N> {
  const linksOf = new Map<N, Set<Link<N>>>()

  function links(node: N): Set<Link<N>> {
    const known = linksOf.get(node) ?? new Set()
    linksOf.set(node, known)
    return known
  }

  function judge(node: N, isNear: boolean): Verdict {
    let far = 0
    for (const link of links(node)) if (link.isFar) far += 1
    return judgeNewcomer({ near: links(node).size - far, far }, isNear, MAX_CONNS)
  }

  /** Neighbours are looked for as long as there are others. */
  function isMixed(node: N): boolean {
    const far = [...links(node)].filter((link) => link.isFar).length
    return far > 0 && far < links(node).size
  }

  function makeRoom(node: N, verdict: Verdict): void {
    if (verdict === 'take') return
    const isFar = verdict === 'replace far'
    const leaving = [...links(node)].findLast((link) => link.isFar === isFar)
    if (leaving === undefined) return
    for (const end of leaving.ends) links(end).delete(leaving)
    leaving.cut()
  }

  return {
    introduce: (a, b) => {
      if (links(a).size >= OPENED_CONNS && !isMixed(a)) return
      const isFar = options.isFar(a, b)
      const verdicts = [judge(a, !isFar), judge(b, !isFar)] as const
      if (verdicts.includes('refuse')) return
      makeRoom(a, verdicts[0])
      makeRoom(b, verdicts[1])
      const link = { ends: [a, b], isFar, cut: options.connect(a, b) } as const
      for (const end of link.ends) links(end).add(link)
    },
  }
}
