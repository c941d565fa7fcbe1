// SPDX-License-Identifier: Apache-2.0
// Owns the self-describing documents at `/` and `/v1/` (contract 4.1). Does not know what the API does.

const DOCS_URL = 'https://docs.openstack.org/ironic-python-agent/'

/** `GET /`. */
export function rootDocument(protocol: string, host: string) {
  const v1 = { id: 'v1', links: linksOf(`${protocol}://${host}`) }
  return {
    name: 'OpenStack Ironic Python Agent API',
    description: 'A deploy agent for OpenStack Ironic: ironswarm',
    versions: [v1],
    default_version: v1,
  }
}

/** `GET /v1/`. */
export function versionDocument(protocol: string, host: string) {
  const root = `${protocol}://${host}`
  return {
    id: 'v1',
    links: linksOf(root),
    commands: pairOf(root, 'commands/'),
    status: pairOf(root, 'status'),
    media_types: [
      {
        base: 'application/json',
        type: 'application/vnd.openstack.ironic-python-agent.v1+json',
      },
    ],
  }
}

function linksOf(root: string) {
  return [
    { href: `${root}/v1/`, rel: 'self' },
    { href: DOCS_URL, rel: 'describedby', type: 'text/html' },
  ]
}

function pairOf(root: string, path: string) {
  return [
    { href: `${root}/v1/${path}`, rel: 'self' },
    { href: `${root}/${path}`, rel: 'bookmark' },
  ]
}
