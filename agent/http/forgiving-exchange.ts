// SPDX-License-Identifier: Apache-2.0
// Owns the second chance of an answer that the strict parser refused: asked for again on a connection of its
// own whose answers are mended (answer-mender.ts). Does not mend.
import type { Connections } from './connections.ts'
import { type Exchange, exchange, type HttpReceiver, type Redirect } from './exchange.ts'
import { HttpFailure } from './failure.ts'

type Mended = NonNullable<ReturnType<Connections['mendedTo']>>

/** Servers known for such answers; more are forgotten and found out again. */
const MAX_KNOWN = 256

/**
 * `exchange` over these connections. A server whose answer could be mended is asked so from then on. Through a
 * proxy nothing is mended: the answer is the proxy's own.
 */
export function createForgivingExchange(
  connections: Connections,
): (hop: Exchange) => Promise<Redirect | undefined> {
  const known = new Set<string>()
  const note = (origin: string) => {
    if (known.size === MAX_KNOWN) known.clear()
    known.add(origin)
  }
  /** What could not be mended was not HTTP, as the first error says. */
  const askAgain = async (mended: Mended, hop: Exchange, first: HttpFailure) => {
    const watched = watchHead({ ...hop, isLast: true })
    try {
      const redirect = await exchange(mended, watched.hop)
      note(hop.url.origin)
      return redirect
    } catch (error) {
      if (!watched.hasHead()) throw first
      note(hop.url.origin)
      throw error
    }
  }
  return async (hop) => {
    const { origin } = hop.url
    const mended = connections.mendedTo(hop.url)
    if (mended && known.has(origin)) return await exchange(mended, { ...hop, isLast: true })
    const watched = watchHead(hop)
    try {
      return await exchange(connections.to(hop.url), watched.hop)
    } catch (error) {
      if (!mended || !isSloppy(error, watched.hasHead())) throw error
      // the receiver has got a part of it: who asks again is served, from where it stopped
      if (watched.hasHead()) {
        note(origin)
        throw new HttpFailure('reset', error.message, error)
      }
      // the server has had the request: only a question may be put twice
      if (!isQuestion(hop)) throw error
      return await askAgain(mended, hop, error)
    }
  }
}

function isQuestion({ method }: Exchange): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** The same request, and whether its head has come. */
function watchHead(hop: Exchange): { readonly hop: Exchange; hasHead(): boolean } {
  const { receiver } = hop
  let hasHead = false
  const watching: HttpReceiver = {
    onHead: (head, flow) => {
      hasHead = true
      receiver.onHead(head, flow)
    },
    onBytes: (bytes) => receiver.onBytes(bytes),
  }
  return { hop: { ...hop, receiver: watching }, hasHead: () => hasHead }
}

/** Before the head a parser's error also shows as a short body, or as a bad answer (a 100 nobody asked for). */
function isSloppy(error: unknown, hasHead: boolean): error is HttpFailure {
  if (!(error instanceof HttpFailure) || error.cause === undefined) return false
  if (error.reason === 'protocol') return true
  if (hasHead) return false
  return (
    error.reason === 'short' || (error.reason === 'reset' && /bad response/.test(error.message))
  )
}
