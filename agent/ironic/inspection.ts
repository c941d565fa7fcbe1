// SPDX-License-Identifier: Apache-2.0
// Owns telling Ironic, or ironic-inspector, what was found in this machine: where it is posted, how often it
// is tried, which node the answer names (contract 6.3). Does not collect anything.
import type { Config } from '../config/options.ts'
import { sleep } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { type JsonObject, stringAt } from '../core/json.ts'
import { redactUrl } from '../core/redact.ts'
import { KiB, MiB } from '../core/units.ts'
import { createHttpClient, type HttpClient } from '../http/client.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type IronicClientConfig, withoutVersion } from './client.ts'
import { headersOf, type IronicReply, readReply } from './reply.ts'

export interface InspectionPost {
  /** Tried in this order. */
  readonly urls: readonly string[]
  /** What was collected (contract 6.2). */
  readonly data: JsonObject
  readonly config: IronicClientConfig
  readonly log: Logger
  readonly signal: AbortSignal
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<void>
}

const ATTEMPTS = 5
/** Between them: 1.5 · 2^n s, within these bounds, as ironic-python-agent waits. */
const WAIT_MS = { first: 1500, min: 5000, max: 30_000 } as const
/** What a network is expected to carry, besides the time an answer takes; bytes a second. */
const SLOWEST_UPLOAD = 256 * KiB
/** Ironic 39 refuses more than 16 MiB (`[api]max_json_body_size_inspection`). */
const MAX_BODY_BYTES = 15 * MiB
const MAX_ANSWER_BYTES = 8 * MiB
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The URLs of option `inspection_callback_url`, else of Ironic itself where collectors are named; none: no inspection. */
export function inspectionUrls(
  config: Pick<Config, 'inspection_callback_url' | 'inspection_collectors'>,
  apiUrls: readonly string[],
): string[] {
  if (config.inspection_callback_url.length > 0) {
    return [...config.inspection_callback_url]
  }
  if (config.inspection_collectors.length === 0) return []
  return apiUrls.map((url) => `${withoutVersion(url)}/v1/continue_inspection`)
}

/**
 * The uuid of the node that the data were found to be of; undefined where the answer names none.
 * Throws InspectionError when nothing answers or the data are refused, and the signal's reason.
 */
export async function postInspection(post: InspectionPost): Promise<string | undefined> {
  await using client = createHttpClient({ config: post.config })
  const body = bodyOf(post)
  const reply = await sendUntilTaken(post, client, body)
  if (reply.status >= 400) {
    throw new AgentError('InspectionError', `status ${reply.status}: ${reply.errorText}`)
  }
  const uuid = stringAt(reply.json, 'uuid')
  if (uuid === undefined) return undefined
  if (UUID.test(uuid)) return uuid
  post.log.warn({ uuid: uuid.slice(0, 64) }, 'the answer to the inspection names no uuid')
  return undefined
}

/** Logs are what there may be too much of, and what Ironic can do without. */
function bodyOf({ data, log }: InspectionPost): string {
  const body = JSON.stringify(data)
  const size = Buffer.byteLength(body)
  if (size <= MAX_BODY_BYTES || data['logs'] === undefined) return body
  log.warn(
    { bytes: size, max: MAX_BODY_BYTES },
    'logs left out of the inspection: too much to post',
  )
  const { logs: _, ...others } = data
  return JSON.stringify(others)
}

/** Asks again where nobody answers, where the node is locked (409), and where the server itself fails. */
async function sendUntilTaken(
  post: InspectionPost,
  client: HttpClient,
  body: string,
): Promise<IronicReply> {
  const { log, signal, wait = sleep } = post
  for (let attempt = 1; ; attempt++) {
    const outcome = await askEach(post, client, body)
    if (typeof outcome !== 'string' && outcome.status < 500 && outcome.status !== 409)
      return outcome
    const reason =
      typeof outcome === 'string' ? outcome : `status ${outcome.status}: ${outcome.errorText}`
    if (attempt === ATTEMPTS) {
      throw new AgentError('InspectionError', `${reason} (the last of ${ATTEMPTS} attempts)`)
    }
    const waitMs = Math.min(Math.max(WAIT_MS.first * 2 ** (attempt - 1), WAIT_MS.min), WAIT_MS.max)
    log.warn({ attempt, wait_ms: waitMs, reason }, 'inspection not posted')
    await wait(waitMs, signal)
  }
}

/** What the first URL that answers says, else why none does. */
async function askEach(
  { urls, config, signal }: InspectionPost,
  client: HttpClient,
  body: string,
): Promise<IronicReply | string> {
  const reasons: string[] = []
  for (const url of urls) {
    signal.throwIfAborted()
    try {
      const response = await client.request(url, {
        method: 'POST',
        // no API version: inspector knows none, and Ironic takes its lowest or one of 1.84 and later only
        headers: headersOf(config),
        body,
        signal,
        timeoutMs: Math.ceil((config.http_request_timeout + body.length / SLOWEST_UPLOAD) * 1000),
        isLast: true,
        maxBytes: MAX_ANSWER_BYTES,
      })
      return readReply(response.status, response.text())
    } catch (error) {
      signal.throwIfAborted()
      reasons.push(messageOf(error))
    }
  }
  return reasons.join('; ') || `no answer from ${urls.map(redactUrl).join(', ')}`
}
