// SPDX-License-Identifier: Apache-2.0
// Owns what every call to Ironic and to its inspector has: the headers that are sent, and how an answer is
// read (contract 2.2, 2.4). Does not send anything.
import type { Config } from '../config/options.ts'
import { stringAt } from '../core/json.ts'

export interface IronicReply {
  readonly status: number
  /** The parsed JSON, or undefined where the body is not JSON. */
  readonly json: unknown
  /** What the API says of an error, for logs (contract 2.4). */
  readonly errorText: string
}

/** @param minor of API version 1.x; left out where the server is to take its lowest */
export function headersOf(
  config: Pick<Config, 'global_request_id'>,
  minor?: number,
): Record<string, string> {
  return {
    accept: 'application/json',
    'content-type': 'application/json',
    ...(minor === undefined ? {} : { 'x-openstack-ironic-api-version': `1.${minor}` }),
    ...(config.global_request_id === null
      ? {}
      : { 'x-openstack-request-id': config.global_request_id }),
  }
}

export function readReply(status: number, text: string): IronicReply {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  return { status, json, errorText: errorTextOf(json, text) }
}

/**
 * `error_message` (an object, or JSON inside of a string) → faultstring or title; ironic-inspector's
 * `error.message`; else the body (contract 2.4).
 */
function errorTextOf(json: unknown, text: string): string {
  const { error_message, error } = (json ?? {}) as { error_message?: unknown; error?: unknown }
  let message = error_message
  if (typeof message === 'string') {
    try {
      message = JSON.parse(message)
    } catch {
      return (message as string).slice(0, MAX_ERROR_CHARS)
    }
  }
  const said =
    stringAt(message, 'faultstring') ?? stringAt(message, 'title') ?? stringAt(error, 'message')
  return (said ?? text.trim()).slice(0, MAX_ERROR_CHARS)
}

const MAX_ERROR_CHARS = 500
