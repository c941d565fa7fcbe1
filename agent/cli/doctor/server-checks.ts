// SPDX-License-Identifier: Apache-2.0
// Owns the checks of what others serve: the image, trackers, Ironic, the time. Each asks once, with a deadline, and
// takes no image bytes to speak of.
import type { Config } from '../../config/options.ts'
import type { Random } from '../../core/backoff.ts'
import { anySignal } from '../../core/deadline.ts'
import { redactText, redactUrl } from '../../core/redact.ts'
import { formatBytes, formatCount } from '../../core/units.ts'
import { createHttpClient } from '../../http/client.ts'
import { createIronicClient } from '../../ironic/client.ts'
import { probeImage } from '../../sources/http/probe.ts'
import { reasonOf as urlReasonOf } from '../../sources/http/url-rotation.ts'
import { startTrackers } from '../../sources/swarm/announce/trackers.ts'
import { createPeerId } from '../../sources/swarm/peers/peer-list.ts'
import { trackerLabel } from '../../sources/swarm/torrent/trackers.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** One answer of a server that works; of a tracker too. */
const ANSWER_MS = 15_000
/** The goodbye to a tracker. */
const GOODBYE_MS = 2000
/** More than a clock may be off before certificates are taken for not yet valid. */
const FAR_OFF_S = 300
const OFF_S = 5
/** Announced for the second that a check takes: nothing listens there. */
const DISCARD_PORT = 9

export interface ServerDeps {
  readonly config: Config
  readonly log: Logger
  readonly random: Random
  readonly signal: AbortSignal
}

/** The image's server: its size, and whether it gives parts, without which a swarm has no web seed. */
export async function checkOrigin(url: string, deps: ServerDeps): Promise<Finding> {
  const config = { ...deps.config, image_download_connection_retries: 0 }
  await using client = createHttpClient({ config })
  try {
    const signal = anySignal(deps.signal, AbortSignal.timeout(ANSWER_MS))
    const { log, random } = deps
    const probe = await probeImage({ urls: [url], client, config, log, random }, signal)
    const size = probe.sizeBytes === null ? 'size not told' : formatBytes(probe.sizeBytes)
    const found = `${redactUrl(url)}: ${size}, ${probe.acceptsRanges ? 'parts by Range' : 'no parts (Range)'}`
    if (probe.acceptsRanges && probe.sizeBytes !== null) return ok('origin', found)
    return warn(
      'origin',
      found,
      'a broken download begins anew and a swarm has no web seed; serve it by nginx, Apache or another that knows Range',
    )
  } catch (error) {
    return fail(
      'origin',
      `${redactUrl(url)}: ${reasonOf(error)}`,
      'a node could not fetch it either',
    )
  }
}

/** Whether a tracker serves a torrent. @param infoHash of it, or of one that nobody has */
export async function checkTracker(
  url: string,
  { infoHash, isKnown }: { readonly infoHash: string; readonly isKnown: boolean },
  { config, signal }: ServerDeps,
): Promise<Finding> {
  const answered = Promise.withResolvers<Finding>()
  const label = trackerLabel(url)
  const startedAt = performance.now()
  const trackers = startTrackers({
    urls: [url],
    http: config,
    infoHash,
    peerId: createPeerId(),
    port: DISCARD_PORT,
    figures: () => ({ uploaded: 0, downloaded: 0, left: 1 }),
    onAnswer: ({ peers }) => {
      const ms = Math.round(performance.now() - startedAt)
      const count = isKnown ? `, ${formatCount(peers.length, 'peer')}` : ''
      answered.resolve(ok('tracker', `${label}: answers in ${ms} ms${count}`))
    },
    onNews: ({ state, words }) => {
      if (state !== 'failing') return
      const toDo = words.startsWith('refused')
        ? 'put the torrent on its list of those it serves (ironswarm torrent show has the info-hash)'
        : 'look at its address and port, and at firewalls between'
      answered.resolve(fail('tracker', `${label}: ${words}`, toDo))
    },
    onRemark: () => undefined,
    now: () => performance.now(),
  })
  const stop = () => answered.resolve(fail('tracker', `${label}: not waited for`, 'ask again'))
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await answered.promise
  } finally {
    signal.removeEventListener('abort', stop)
    await trackers.close(GOODBYE_MS)
  }
}

export async function checkIronic(
  url: string,
  { config, log, signal }: ServerDeps,
): Promise<Finding> {
  const deadline = anySignal(signal, AbortSignal.timeout(ANSWER_MS))
  const given = { ...config, api_url: [url] }
  try {
    await using client = createIronicClient({ config: given, log })
    const minor = await client.apiMinor(deadline)
    return ok('ironic', `${redactUrl(url)}: API 1.${minor}`)
  } catch (error) {
    const found = `${redactUrl(url)}: ${reasonOf(error)}`
    return fail('ironic', found, 'look at --api-url, and at --cafile for its certificate')
  }
}

/** This clock against the Date of a server's answer, which is right to a second. */
export async function checkClock(
  url: string | undefined,
  now: () => number,
  { config, signal }: ServerDeps,
): Promise<Finding> {
  const here = new Date(now()).toISOString().replace(/\.\d+Z$/, 'Z')
  const date = url === undefined ? undefined : await dateOf(url, config, signal)
  if (date === undefined) {
    return warn(
      'clock',
      `${here}, compared with nobody`,
      '--url or --api-url names a server to ask',
    )
  }
  const off = Math.round((now() - date) / 1000)
  const found = `${here}, ${Math.abs(off)} s ${off < 0 ? 'behind' : 'before'} ${new URL(url as string).host}`
  if (Math.abs(off) <= OFF_S) return ok('clock', found)
  const toDo = 'set the clock (--ntp-server, chrony); certificates and logs depend on it'
  return Math.abs(off) <= FAR_OFF_S ? warn('clock', found, toDo) : fail('clock', found, toDo)
}

/** ms since the epoch; undefined where the server does not say. */
async function dateOf(
  url: string,
  config: Config,
  signal: AbortSignal,
): Promise<number | undefined> {
  // a certificate may be refused for the very clock that is to be checked
  await using client = createHttpClient({ config: { ...config, insecure: true } })
  try {
    // nobody proves who answers: no path, no signature and no password goes there
    const response = await client.request(`${new URL(url).origin}/`, {
      method: 'HEAD',
      signal,
      timeoutMs: ANSWER_MS,
      maxBytes: 0,
    })
    const date = Date.parse(String(response.headers['date'] ?? ''))
    return Number.isNaN(date) ? undefined : date
  } catch {
    return undefined
  }
}

function reasonOf(error: unknown): string {
  // its URL stands before it
  return redactText(urlReasonOf(error)).replace(/^(?:GET \S+ got no answer: )?https?:\S+: /, '')
}
