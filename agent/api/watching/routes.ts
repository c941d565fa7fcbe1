// SPDX-License-Identifier: Apache-2.0
// Owns the routes for people and their programs: metrics, the stream of events, the swarm. Read only, without
// secrets, open to everybody. The API of Ironic is in ../routes.ts.
import type { FastifyInstance } from 'fastify'
import type { EventReader } from '../../telemetry/event-stream.ts'
import { METRICS_TYPE } from '../../telemetry/metrics/exposition.ts'
import { createMetrics, type MetricsOptions } from '../../telemetry/metrics/metrics.ts'
import { HttpFault } from '../faults.ts'
import { createStatusPage, type StatusPage } from '../page/page.ts'
import type { AllowedPath } from '../routes.ts'
import { createEventClients, type EventClients, MOST_CLIENTS } from './event-clients.ts'
import { swarmDocument } from './swarm.ts'

export interface WatchingOptions
  extends Pick<MetricsOptions, 'version' | 'startedAt' | 'diskWrites'> {
  readonly events: Pick<EventReader, 'subscribe' | 'snapshot' | 'since'>
  /** Wall clock, ms. */
  readonly now: () => number
  /** Option `metrics`. */
  readonly hasMetrics: boolean
  /** Option `status_page`. */
  readonly hasPage: boolean
}

export interface Watching {
  readonly clients: EventClients
  readonly page: StatusPage | undefined
  readonly paths: readonly AllowedPath[]
}

export function addWatching(app: FastifyInstance, options: WatchingOptions): Watching {
  const { events, now } = options
  const clients = createEventClients(events, options.startedAt)
  const paths: AllowedPath[] = [
    [/^(\/v1)?\/events$/, 'GET'],
    [/^(\/v1)?\/swarm$/, 'GET, HEAD'],
  ]
  if (options.hasMetrics) {
    const metrics = createMetrics({ ...options, clients: () => clients.count })
    app.addHook('onClose', async () => metrics[Symbol.dispose]())
    app.get('/metrics', async (_request, reply) =>
      reply.header('content-type', METRICS_TYPE).send(await metrics.text()),
    )
    paths.push([/^\/metrics$/, 'GET, HEAD'])
  }
  for (const prefix of ['/v1', '']) {
    app.get(`${prefix}/swarm`, async () => swarmDocument(events.snapshot(), now()))
    app.get(`${prefix}/events`, { exposeHeadRoute: false }, async (request, reply) => {
      const lastEventId = request.headers['last-event-id']
      const isServed = clients.serve(reply.raw, [lastEventId].flat()[0])
      if (!isServed)
        throw new HttpFault(
          429,
          'Too Many Requests',
          `There are ${MOST_CLIENTS} readers of events, the most there may be: end one, or ask for /v1/status.`,
        )
      return reply.hijack()
    })
  }
  const page = options.hasPage ? createStatusPage(options) : undefined
  return { clients, page, paths }
}
