// SPDX-License-Identifier: Apache-2.0
// Owns the delivery of missing image bytes over HTTP (contract 5.3.1): resume by Range from where it
// broke, fail-over between urls, limits on retries. Does not verify the image: the read-back does.
import { throwIfAborted } from '../../core/deadline.ts'
import type { FileRange } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import { MiB } from '../../core/units.ts'
import type { DeliverRequest, ImageSource } from '../source.ts'
import { BadAnswer } from './answer.ts'
import { type Attempt, EntityChanged, fetchOnce, SinkFailure, wholeOrRange } from './attempt.ts'
import { createDownloadUrls } from './download-urls.ts'
import type { HttpImageOptions } from './image-options.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { turnsToWhole } from './range-refusal.ts'
import type { ImageUrl, UrlRotation } from './url-rotation.ts'

/** How often a delivery begins anew because the image changed on the server. */
const MAX_RESTARTS = 2

/**
 * A source that fetches from the image's urls, in order, what the coverage lacks. `deliver` rejects with
 * ImageDownloadError (`source`: another source may go on), ImageDownloadFatalError (401), the reason of
 * the signal, or the sink's own error unchanged. The client stays its owner's: disposal closes nothing.
 */
export function createHttpSource(options: HttpImageOptions): ImageSource {
  return {
    name: 'http',
    deliver: (request) => deliver(options, request),
    stats: () => ({ peers: 0, uploadedBytes: 0 }),
    [Symbol.asyncDispose]: async () => {},
  }
}

async function deliver(options: HttpImageOptions, request: DeliverRequest): Promise<void> {
  const ledger = createLedger(request.totalBytes, request.coverage.missing())
  const urls = createDownloadUrls(options)
  const { signal } = request
  let restarts = 0
  const noteFailure = (attempt: Attempt, error: unknown, takenBefore: number) => {
    const { url } = attempt
    if (error instanceof SinkFailure) throw error.cause
    if (isRefusedRange(attempt, error, takenBefore)) return
    const change = error instanceof EntityChanged ? error : undefined
    if (change && restarts++ < MAX_RESTARTS) startOver(options, url, change, ledger)
    else urls.failed(url, change ? changedTooOften(url, change) : error)
  }
  for (let missing = ledger.missing(); missing.length > 0; missing = ledger.missing()) {
    throwIfAborted(signal)
    const url = await urls.next(signal).catch((error) => {
      throwIfAborted(signal)
      throw error
    })
    const attempt: Attempt = { options, request, ledger, url, missing, signal }
    const takenBefore = ledger.takenBytes
    try {
      await fetchMissing(attempt, urls)
    } catch (error) {
      throwIfAborted(signal)
      noteFailure(attempt, error, takenBefore)
    }
  }
}

/** True if the url brought nothing by Range and is to be asked at once for the whole image. */
function isRefusedRange(
  { url, missing, request, ledger, options }: Attempt,
  error: unknown,
  takenBefore: number,
): boolean {
  const isByRange = url.isWholeOnly || wholeOrRange(missing, request.totalBytes) !== undefined
  if (!isByRange || ledger.takenBytes > takenBefore || !turnsToWhole(url, error)) return false
  const reason = url.rangeRefusal
  options.log.warn({ url: redactUrl(url.url), reason }, 'range refused, asking for the whole image')
  return true
}

/** One attempt, and what it says of the url. */
async function fetchMissing(attempt: Attempt, urls: UrlRotation): Promise<void> {
  const { ledger, request, url } = attempt
  const before = ledger.takenBytes
  // a url that brings a good part each time may break often; one that brings crumbs uses up its retries
  const enough = Math.max(MiB, request.totalBytes / 256)
  const wanted = attempt.missing[0] as FileRange
  try {
    await fetchOnce(attempt)
  } finally {
    if (ledger.takenBytes - before >= Math.min(enough, wanted.length)) urls.progressed(url)
  }
  if (ledger.takenBytes - before < Math.min(enough, wanted.length)) {
    throw new BadAnswer(
      `${redactUrl(url.url)}: only ${ledger.takenBytes - before} bytes of the ${wanted.length} asked for`,
      'transient',
      206,
    )
  }
}

function startOver(
  options: HttpImageOptions,
  url: ImageUrl,
  change: EntityChanged,
  ledger: Ledger,
): void {
  options.log.warn(
    { url: redactUrl(url.url), before: change.before, now: change.now, bytes: ledger.takenBytes },
    'image changed on the server, starting over',
  )
  url.entity = undefined
  ledger.restart()
}

function changedTooOften(url: ImageUrl, change: EntityChanged): BadAnswer {
  return new BadAnswer(
    `${redactUrl(url.url)}: the image changed ${MAX_RESTARTS + 1} times during the download, last from ${change.before} to ${change.now}; serve one version of it`,
    'source',
    200,
  )
}
