// SPDX-License-Identifier: Apache-2.0
// Owns how a person shows Ironic who they are: by the OS_ variables that OpenStack's own clients read. Secrets
// come from the environment alone, for a process list is public.
import { AgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { KiB } from '../../core/units.ts'
import type { HttpClient } from '../../http/client.ts'

type Env = Readonly<Record<string, string | undefined>>

const KEYSTONE_MS = 30_000
const MAX_ANSWER_BYTES = 512 * KiB

export interface IronicAuth {
  /** To be sent with each request. Throws InvalidConfigError, IronicAPIError. */
  headers(signal: AbortSignal): Promise<Readonly<Record<string, string>>>
  /** Ironic has refused them: a token may have come to its end. False where asking anew would not help. */
  renew(): boolean
}

/**
 * OS_TOKEN as it is; OS_AUTH_URL with user and password: a token of Keystone (v3); OS_USERNAME and OS_PASSWORD without it:
 * HTTP basic; else nothing, as for a standalone Ironic without authentication.
 */
export function createIronicAuth(env: Env, client: HttpClient): IronicAuth {
  const { OS_TOKEN: token, OS_AUTH_URL: authUrl, OS_USERNAME: user, OS_PASSWORD: password } = env
  if (token) return fixed({ 'x-auth-token': token })
  if (authUrl && user && password) return createKeystoneAuth(env, client)
  if (user && password) {
    const pair = Buffer.from(`${user}:${password}`).toString('base64')
    return fixed({ authorization: `Basic ${pair}` })
  }
  return fixed({})
}

function fixed(headers: Readonly<Record<string, string>>): IronicAuth {
  return { headers: async () => headers, renew: () => false }
}

function createKeystoneAuth(env: Env, client: HttpClient): IronicAuth {
  let token: string | undefined
  return {
    headers: async (signal) => {
      token ??= await askKeystone(env, client, signal)
      return { 'x-auth-token': token }
    },
    renew: () => {
      token = undefined
      return true
    },
  }
}

async function askKeystone(env: Env, client: HttpClient, signal: AbortSignal): Promise<string> {
  const base = String(env['OS_AUTH_URL']).replace(/\/+$/, '')
  const url = /\/v3$/.test(base) ? `${base}/auth/tokens` : `${base}/v3/auth/tokens`
  const response = await client.request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(passwordRequest(env)),
    signal,
    timeoutMs: KEYSTONE_MS,
    maxBytes: MAX_ANSWER_BYTES,
  })
  const given = [response.headers['x-subject-token']].flat()[0]
  if (response.status === 201 && given) return given
  throw new AgentError(
    'IronicAPIError',
    `${redactUrl(url)}: status ${response.status}; look at OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and their domains`,
  )
}

/** Identity API v3, password authentication with the scope of a project, or of the system where none is named. */
function passwordRequest(env: Env): object {
  const { OS_PROJECT_ID: id, OS_PROJECT_NAME: name } = env
  const project = id
    ? { id }
    : { name, domain: domainOf(env['OS_PROJECT_DOMAIN_ID'], env['OS_PROJECT_DOMAIN_NAME']) }
  const user = {
    name: env['OS_USERNAME'],
    password: env['OS_PASSWORD'],
    domain: domainOf(env['OS_USER_DOMAIN_ID'], env['OS_USER_DOMAIN_NAME']),
  }
  return {
    auth: {
      identity: { methods: ['password'], password: { user } },
      scope: id || name ? { project } : { system: { all: true } },
    },
  }
}

function domainOf(id: string | undefined, name: string | undefined): object {
  return id ? { id } : { name: name ?? 'Default' }
}
