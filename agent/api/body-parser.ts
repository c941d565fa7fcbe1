// SPDX-License-Identifier: Apache-2.0
// Owns how fastify comes by the body of a request: read as it arrives, one with a config drive at a time. Does
// not know what is in it.
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CommandRunner } from '../commands/runner.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { HttpFault } from './faults.ts'
import { createBodyReader, MAX_BODY_BYTES, tooLarge } from './request-body.ts'

/**
 * Whatever the content type says, a body is JSON (contract 4.2); even where it is no media type. A large one
 * is refused as busy while a command runs, which may hold one itself, and while another is dealt with: Ironic
 * asks again at the next heartbeat.
 */
export function addBodyParser(app: FastifyInstance, runner: Pick<CommandRunner, 'assertIdle'>) {
  let withLargeBody: FastifyRequest | undefined

  app.addHook('onRequest', async (request) => {
    request.raw.headers['content-type'] = 'application/json'
  })
  app.addHook('onResponse', async (request) => {
    if (withLargeBody === request) withLargeBody = undefined
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    async (request: FastifyRequest, payload: Readable) => {
      // no route, no body: it is not what is wrong
      if (request.is404) {
        payload.resume()
        return undefined
      }
      if (Number(request.headers['content-length']) > MAX_BODY_BYTES) {
        throw tooLarge(MAX_BODY_BYTES)
      }
      const reader = createBodyReader(() => {
        runner.assertIdle()
        if (withLargeBody !== undefined) {
          throw new AgentError('AgentIsBusy', 'reading a request with another config drive')
        }
        withLargeBody = request
      })
      try {
        for await (const bytes of payload) reader.write(bytes)
        return reader.end()
      } catch (error) {
        throw error instanceof SyntaxError ? noJson(error) : error
      }
    },
  )
}

/** JSON.parse quotes the text around the error, which may be part of a secret. */
export function noJson(error: unknown): HttpFault {
  const reason = messageOf(error).replace(/".*"/s, '…')
  return new HttpFault(400, 'Bad Request', `Failed to decode JSON object: ${reason}`)
}
