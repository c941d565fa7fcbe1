// SPDX-License-Identifier: Apache-2.0
// Owns what the API of 21.4 refuses: versions, bodies, heartbeat fields, changed callback addresses.
import type { IncomingMessage } from 'node:http'
import type { NodeRecord } from './node.ts'

/** An error reply; the message becomes the faultstring. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const AGENT_STATES: readonly string[] = ['start', 'end', 'error']
/** Ironic 39's, of inspection data and of all else. */
const MAX_BODY_BYTES = { inspection: 16 << 20, other: 1 << 20 } as const

/** `error_message` as Ironic sends it: a JSON string inside of JSON (contract 2.4). */
export function faultBody(error: unknown): { status: number; json: unknown } {
  const status = error instanceof ApiError ? error.status : 500
  const fault = {
    faultcode: status < 500 ? 'Client' : 'Server',
    faultstring: error instanceof Error ? error.message : String(error),
    debuginfo: null,
  }
  return { status, json: { error_message: JSON.stringify(fault) } }
}

export interface HeartbeatFields {
  readonly callback_url: string
  readonly agent_version: string
  readonly agent_token?: string
  readonly agent_verify_ca?: string
  readonly agent_status?: string
  readonly agent_status_message?: string
}

/** Refuses unknown fields, fields above the version, and anything that is not a string (contract 3.1). */
export function checkHeartbeat(body: unknown, version: number): HeartbeatFields {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ApiError(400, 'Expected a JSON object')
  }
  const known = [
    ...['callback_url', 'agent_version', 'agent_token', 'agent_verify_ca'],
    ...['agent_status', 'agent_status_message'],
  ]
  const unknown = Object.keys(body).filter((key) => !known.includes(key))
  if (unknown.length > 0) throw new ApiError(400, `Unexpected arguments: ${unknown.join(', ')}`)
  for (const [key, value] of Object.entries(body)) {
    if (typeof value !== 'string') throw new ApiError(400, `Expected string for ${key}`)
  }
  const fields = body as HeartbeatFields
  if (fields.callback_url === undefined) throw new ApiError(400, 'Missing mandatory: callback_url')
  if (!fields.agent_version) throw new ApiError(400, 'Field "agent_version" is required')
  if (fields.agent_token !== undefined && version < 62) {
    throw new ApiError(400, 'Field "agent_token" not recognised')
  }
  checkStatus(fields, version)
  if (fields.agent_verify_ca !== undefined && version < 68) {
    throw new ApiError(400, 'Field "agent_verify_ca" not recognised in this version')
  }
  return fields
}

function checkStatus(fields: HeartbeatFields, version: number): void {
  if ((fields.agent_status ?? fields.agent_status_message) !== undefined && version < 72) {
    throw new ApiError(400, 'Fields "agent_status" and "agent_status_message" not recognised.')
  }
  if (fields.agent_status !== undefined && !AGENT_STATES.includes(fields.agent_status)) {
    throw new ApiError(400, `Agent status is invalid. Valid states are ${AGENT_STATES}.`)
  }
}

export function checkCallback(
  node: NodeRecord,
  fields: HeartbeatFields,
  requireTls: boolean,
): void {
  const callback = fields.callback_url
  if (!/^https?:\/\/(\[[0-9a-f:.]+\]|[^/:[\]]+):\d+$/i.test(callback)) {
    throw new ApiError(400, `callback_url ${callback} is not scheme://host:port`)
  }
  if (requireTls && !callback.startsWith('https://')) {
    throw new ApiError(400, 'TLS is required for the agent API')
  }
  if (node.agentUrl === null) return
  if (callback !== node.agentUrl) {
    throw new ApiError(400, 'Detected change in ramdisk provided "callback_url"')
  }
  if ((fields.agent_verify_ca ?? null) !== node.agentVerifyCa) {
    throw new ApiError(400, 'Detected change in ramdisk provided "agent_verify_ca"')
  }
}

/** Minor version asked for; no header means 1.1, above the highest is refused. */
export function minorOf(header: string | null, highest: string): number {
  const minor = Number((header ?? '1.1').split('.')[1])
  if (!(minor <= Number(highest.split('.')[1]))) {
    throw new ApiError(406, `Version ${header} was requested but the service supports ${highest}`)
  }
  return minor
}

export async function readBody(
  request: IncomingMessage,
  kind: keyof typeof MAX_BODY_BYTES = 'other',
): Promise<unknown> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += (part as Buffer).length
    if (bytes > MAX_BODY_BYTES[kind]) throw new ApiError(413, 'Request body too large')
    parts.push(part as Buffer)
  }
  if (bytes === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch {
    throw new ApiError(400, 'Invalid JSON body')
  }
}
