// SPDX-License-Identifier: Apache-2.0
// Owns which nodes are watched: agents that are named by URL, or those of an Ironic. Does not ask the agents.
import { AgentError } from '../../core/errors.ts'
import { isObject, objectAt, stringAt } from '../../core/json.ts'
import { redactUrl } from '../../core/redact.ts'
import { MiB } from '../../core/units.ts'
import type { HttpClient } from '../../http/client.ts'
import { withoutVersion } from '../../ironic/client.ts'
import type { IronicAuth } from './ironic-auth.ts'
import { clean, type WatchedNode } from './node-row.ts'

/** Names, states and driver_internal_info may be asked for by field since 1.8. */
const API_VERSION = '1.31'
const FIELDS = 'uuid,name,provision_state,driver_internal_info,last_error'
const PAGE_MS = 30_000
const MAX_PAGE_BYTES = 64 * MiB
/** Above it nobody looks at a table. */
const MOST_NODES = 10_000
const MOST_PAGES = 100

/** The port of an agent whose URL names none. */
const AGENT_PORT = 9999

/** An agent by its URL, or by host and port alone. Throws InvalidCommandParamsError. */
export function nodeOfUrl(word: string): WatchedNode {
  const text = /^[a-z]+:\/\//i.test(word) ? word : `http://${word}`
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `"${clean(word)}" is no agent; give http(s)://host:${AGENT_PORT}, or host alone`,
    )
  }
  // a port that is the scheme's own was named too, and is lost in URL
  if (url.port === '' && !/:\d+\/?$/.test(text)) url.port = String(AGENT_PORT)
  return { id: url.origin, name: url.origin, url: url.origin, provision_state: null, error: null }
}

/** The nodes of an Ironic, page by page. Throws IronicAPIError. */
export async function nodesOfIronic(
  ironicUrl: string,
  { client, auth, signal }: { client: HttpClient; auth: IronicAuth; signal: AbortSignal },
): Promise<WatchedNode[]> {
  const base = withoutVersion(ironicUrl)
  const nodes: WatchedNode[] = []
  let next: string | undefined = `${base}/v1/nodes?fields=${FIELDS}`
  for (let page = 0; next !== undefined && page < MOST_PAGES; page++) {
    const answer = await askPage(next, { client, auth, signal })
    const listed = isObject(answer) && Array.isArray(answer['nodes']) ? answer['nodes'] : []
    nodes.push(...listed.map(nodeOfIronic).filter((node) => node !== undefined))
    if (nodes.length >= MOST_NODES) return nodes.slice(0, MOST_NODES)
    next = nextPage(base, stringAt(answer, 'next'))
  }
  return nodes
}

async function askPage(
  url: string,
  { client, auth, signal }: { client: HttpClient; auth: IronicAuth; signal: AbortSignal },
): Promise<unknown> {
  for (let isSecond = false; ; isSecond = true) {
    const response = await client.request(url, {
      headers: {
        accept: 'application/json',
        'x-openstack-ironic-api-version': API_VERSION,
        ...(await auth.headers(signal)),
      },
      signal,
      timeoutMs: PAGE_MS,
      maxBytes: MAX_PAGE_BYTES,
    })
    if (response.status === 200) return JSON.parse(response.text())
    if (response.status === 401 && !isSecond && auth.renew()) continue
    const hint = response.status === 401 ? '; set OS_TOKEN, or OS_USERNAME and OS_PASSWORD' : ''
    throw new AgentError('IronicAPIError', `${redactUrl(url)}: status ${response.status}${hint}`)
  }
}

/** Ironic behind a proxy may name itself by another host: only what comes after that is taken. */
function nextPage(base: string, next: string | undefined): string | undefined {
  const query = next === undefined ? undefined : URL.parse(next)?.search
  return query ? `${base}/v1/nodes${query}` : undefined
}

function nodeOfIronic(value: unknown): WatchedNode | undefined {
  const uuid = stringAt(value, 'uuid')
  if (uuid === undefined) return undefined
  const agentUrl = URL.parse(stringAt(objectAt(value, 'driver_internal_info'), 'agent_url') ?? '')
  return {
    id: clean(uuid),
    name: clean(stringAt(value, 'name') ?? uuid),
    url: agentUrl && /^https?:$/.test(agentUrl.protocol) ? agentUrl.origin : null,
    provision_state: clean(stringAt(value, 'provision_state') ?? 'unknown'),
    error: clean(stringAt(value, 'last_error') ?? '') || null,
  }
}
