// SPDX-License-Identifier: Apache-2.0
// Owns the hand-over between sources: each is asked for what is missing, a failed one gives way to the
// next, which begins with what is on the disk. Does not make sources nor sinks.
import { isFatal } from '../../core/backoff.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import type { DeliverRequest, ImageSource } from '../../sources/source.ts'
import { warn } from '../../telemetry/operation.ts'
import type { PlannedSource } from '../plan/plan-parts.ts'
import type { MeteredSink } from './meter.ts'

export interface FetchOptions {
  readonly planned: readonly PlannedSource[]
  /** Makes the source; it is disposed of here unless it delivered. */
  readonly create: (planned: PlannedSource) => ImageSource
  readonly request: DeliverRequest
  /** The sink that knows what is still under way, inside of `request.sink`. */
  readonly metered: MeteredSink
  readonly onSource: (source: ImageSource) => void
  /** Hears of each source that gives up. */
  readonly events: EventPublisher
}

/**
 * Resolves to the source that completed the image; it may serve others until its owner disposes of it.
 * Throws the disk's error, a fatal error of a source, or ImageDownloadError with each source's reason.
 */
export async function fetchImage(options: FetchOptions): Promise<ImageSource> {
  const { coverage, signal, totalBytes } = options.request
  const reasons: string[] = []
  for (const planned of options.planned) {
    const source = options.create(planned)
    options.onSource(source)
    const failure = await deliver(source, options)
    if (failure === undefined) return source
    await source[Symbol.asyncDispose]()
    await options.metered.drain()
    throwIfAborted(signal)
    // whatever the source made of it: a disk that cannot be written is no reason to ask another source
    if (options.metered.failure !== undefined) throw options.metered.failure
    if (options.planned.length === 1 || isFatal(failure)) throw failure
    reasons.push(`${planned.name}: ${messageOf(failure)}`)
    const facts = { source: planned.name, missing_bytes: totalBytes - coverage.coveredBytes }
    warn(options.events, 'source gives up', facts, failure)
  }
  throw new AgentError('ImageDownloadError', `every source gave up: ${reasons.join('; ')}`, {
    kind: 'fatal',
  })
}

/** The failure, or undefined when every byte is on the disk. */
async function deliver(source: ImageSource, options: FetchOptions): Promise<unknown> {
  const { coverage, totalBytes } = options.request
  try {
    await source.deliver(options.request)
    await options.metered.drain()
    if (coverage.isComplete) return undefined
    const missing = totalBytes - coverage.coveredBytes
    return new AgentError(
      'ImageDownloadError',
      `${source.name} ended with ${missing} of ${totalBytes} bytes missing`,
    )
  } catch (error) {
    return error
  }
}
