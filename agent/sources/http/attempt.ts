// SPDX-License-Identifier: Apache-2.0
// Owns one GET of image bytes: what is asked, whether the answer fits, its way into the sink. Does not
// retry.
import { anySignal } from '../../core/deadline.ts'
import type { FileRange } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import type { HttpFlow, HttpHead } from '../../http/exchange.ts'
import type { DeliverRequest } from '../source.ts'
import {
  type Answer,
  BadAnswer,
  ifRangeOf,
  isOtherEntity,
  judgeHead,
  rangeHeader,
  requireSize,
} from './answer.ts'
import { createExtentWriter, type ExtentWriter } from './extent-writer.ts'
import { type HttpImageOptions, imageHeaders, patienceOf } from './image-options.ts'
import type { Ledger } from './ledger.ts'
import type { ImageUrl } from './url-rotation.ts'

export interface Attempt {
  readonly options: HttpImageOptions
  readonly request: DeliverRequest
  readonly ledger: Ledger
  readonly url: ImageUrl
  /** Not empty; the first range is asked for, the others are taken along if the whole image comes. */
  readonly missing: readonly FileRange[]
  readonly signal: AbortSignal
}

/** The server has another version of the image than the one whose bytes were taken. */
export class EntityChanged extends Error {
  readonly before: string
  readonly now: string

  constructor(before: string, now: string) {
    super(`the image changed from ${before} to ${now}`)
    this.name = 'EntityChanged'
    this.before = before
    this.now = now
  }
}

/** More than any set of replicas has. */
const MAX_VERSIONS = 64

/** Carries the sink's error past the retries; `cause` is the error itself. */
export class SinkFailure extends Error {
  constructor(cause: unknown) {
    super('the sink failed', { cause })
    this.name = 'SinkFailure'
  }
}

/**
 * Asks once. Whatever was received is in the sink when this settles.
 * @throws BadAnswer, HttpFailure, EntityChanged, SinkFailure, or the reason of the signal
 */
export async function fetchOnce(attempt: Attempt): Promise<void> {
  const { options, request, ledger, url, missing } = attempt
  const range = url.isWholeOnly ? undefined : wholeOrRange(missing, request.totalBytes)
  const stopped = new AbortController()
  let flow: HttpFlow | undefined
  const writer = createExtentWriter({
    pool: request.pool,
    sink: request.sink,
    from: 'origin',
    onWritten: (written) => ledger.took(written),
    onDrain: () => flow?.resume(),
    onFailure: () => stopped.abort(new Error('the sink failed')),
  })
  const body = createBody(attempt, writer, range)
  try {
    await options.client.stream(
      url.url,
      {
        headers: {
          ...imageHeaders(options, url.url),
          ...(range ? { range: rangeHeader(range), ...conditionOf(url) } : {}),
        },
        signal: anySignal(attempt.signal, stopped.signal),
        ...patienceOf(options.config),
      },
      {
        onHead: (head, given) => {
          flow = given
          body.begin(head)
        },
        onBytes: (bytes) => {
          if (!body.take(bytes)) flow?.pause()
        },
      },
    )
    body.end()
  } finally {
    await writer.finish().catch((error) => {
      throw new SinkFailure(error)
    })
  }
}

/** What to ask for; undefined if the whole image is missing: then a plain GET is the simplest question. */
export function wholeOrRange(
  missing: readonly FileRange[],
  totalBytes: number,
): FileRange | undefined {
  const first = missing[0] as FileRange
  return first.offset === 0 && first.length === totalBytes ? undefined : first
}

interface Body {
  begin(head: HttpHead): void
  /** False: wait for the writer. */
  take(bytes: Uint8Array): boolean
  /** Throws if the body was too short. */
  end(): void
}

function createBody(attempt: Attempt, writer: ExtentWriter, range: FileRange | undefined): Body {
  const { request, url, ledger } = attempt
  const where = redactUrl(url.url)
  let at = 0
  let end = request.totalBytes
  let status = 0
  return {
    begin: (head) => {
      const answer = judgeHead(head, range)
      status = head.status
      requireSize(answer, request.totalBytes, url.url)
      requireSameEntity(answer, url, ledger)
      writer.want(answer.isPartial && range ? [range] : attempt.missing)
      url.entity = answer.entity
      at = answer.start
      end = answer.end ?? request.totalBytes
    },
    take: (bytes) => {
      const offset = at
      at += bytes.length
      if (at <= end) return writer.push(offset, bytes)
      throw new BadAnswer(
        `${where}: the body goes on after byte ${end}, the expected end; the image is expected to be ${request.totalBytes} bytes`,
        'source',
        status,
      )
    },
    end: () => {
      if (at === end) return
      throw new BadAnswer(
        `${where}: the body ended at byte ${at} of ${end}; the image is expected to be ${request.totalBytes} bytes`,
        'transient',
        status,
      )
    },
  }
}

/**
 * RFC 9110 13.1.5: If-Range brings the whole new image when it changed; a server that ignores the
 * condition brings a part of it. Both show in the entity's tag or date.
 */
function requireSameEntity(answer: Answer, url: ImageUrl, ledger: Ledger): void {
  const version = describe(answer.entity)
  const isOther = isOtherEntity(url.entity, answer.entity)
  // an image that is replaced does not come back
  if (isOther && url.versions.has(version)) url.isReplicated = true
  if (url.versions.size < MAX_VERSIONS) url.versions.add(version)
  if (!isOther || url.isReplicated || ledger.takenBytes === 0) return
  throw new EntityChanged(describe(url.entity), version)
}

function conditionOf(url: ImageUrl): Record<string, string> {
  return url.isReplicated ? {} : ifRangeOf(url.entity)
}

function describe(entity: Answer['entity'] | undefined): string {
  return entity?.etag ?? entity?.lastModified ?? 'an unmarked version'
}
