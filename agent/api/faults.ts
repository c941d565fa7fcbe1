// SPDX-License-Identifier: Apache-2.0
// Owns error answers of the REST API: status and `faultstring`, which is a string on every one of them
// because the conductor searches in it (contract 4.4 b). Does not log.
import type { FastifyReply } from 'fastify'
import { isAgentError, messageOf } from '../core/errors.ts'
import { redactBounded } from '../core/redact.ts'

export interface Fault {
  readonly status: number
  readonly faultstring: string
  readonly allow?: string
}

/** `400 Bad Request: …` and its like: errors of HTTP itself, in werkzeug's words as IPA has them. */
export class HttpFault extends Error {
  readonly fault: Fault
  constructor(status: number, reason: string, text: string, allow?: string) {
    super(text)
    const faultstring = `${status} ${reason}: ${text}`
    this.fault = allow === undefined ? { status, faultstring } : { status, faultstring, allow }
  }
}

/** The answer to any thrown value; secrets are struck out. */
export function faultOf(error: unknown): Fault {
  if (error instanceof HttpFault) return error.fault
  const text = redactBounded(messageOf(error))
  if (isAgentError(error)) return { status: error.status, faultstring: text }
  const status = (error as { statusCode?: unknown } | null)?.statusCode
  // fastify's own: body too large, aborted request, malformed url
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return { status, faultstring: text }
  }
  return { status: 500, faultstring: text }
}

export function sendFault(reply: FastifyReply, { status, faultstring, allow }: Fault) {
  if (allow !== undefined) reply.header('allow', allow)
  const faultcode = status >= 500 ? 'Server' : 'Client'
  return reply.code(status).send({ faultcode, faultstring })
}
