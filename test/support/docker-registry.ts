// SPDX-License-Identifier: Apache-2.0
// Owns a real registry of containers on loopback (Debian's docker-registry) that asks for credentials, with blobs that are
// pushed as clients push them (OCI distribution 1.1). Keeps them in a folder that ends with it.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, stopChild } from './processes.ts'

export interface DockerRegistry extends AsyncDisposable {
  /** What it wants as Authorization header. */
  readonly authorization: string
  /** Uploads a blob to the repository os/image; its url. */
  push(blob: Uint8Array): Promise<string>
}

export interface DockerRegistryOptions {
  /** Blobs are not sent but looked for below this url, as registries in front of object stores do it. */
  readonly redirectTo?: string
}

const [USER, PASSWORD] = ['deploy', 'not for others']
/** Of the password, by crypt(5): the registry takes no other hash. */
const HASH = '$2b$05$abcdefghijklmnopqrstuuJ2DP2rllsu.FOYo1M4j9kYjkCnvzo5.'
const REPOSITORY = 'os/image'

export async function startDockerRegistry({
  redirectTo,
}: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-registry-'))
  const port = await freePort()
  const users = join(directory, 'htpasswd')
  await writeFile(users, `${USER}:${HASH}\n`)
  const redirect = redirectTo
    ? { middleware: { storage: [{ name: 'redirect', options: { baseurl: redirectTo } }] } }
    : {}
  const config = join(directory, 'config.yml')
  // JSON is YAML
  await writeFile(
    config,
    JSON.stringify({
      version: '0.1',
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: join(directory, 'blobs') } },
      http: { addr: `127.0.0.1:${port}` },
      auth: { htpasswd: { realm: 'images', path: users } },
      ...redirect,
    }),
  )
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}/v2/`
  const authorization = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`
  const headers = { authorization }
  for (let tries = 0; tries < 600; tries++) {
    const answer = await fetch(url, { headers }).catch(() => undefined)
    if (answer?.ok) break
    await delay(100)
  }
  return {
    authorization,
    push: async (blob) => {
      const uploads = await fetch(`${url}${REPOSITORY}/blobs/uploads/`, { method: 'POST', headers })
      const place = new URL(uploads.headers.get('location') as string, url)
      const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`
      place.searchParams.set('digest', digest)
      const done = await fetch(place, { method: 'PUT', headers, body: Buffer.from(blob) })
      if (done.status !== 201) throw new Error(`the registry answers ${done.status}`)
      return `${url}${REPOSITORY}/blobs/${digest}`
    },
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
      await rm(directory, { recursive: true, force: true })
    },
  }
}
