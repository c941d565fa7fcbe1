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
  /** Uploads a container of one layer; `127.0.0.1:5000/os/image:TAG`, as podman takes it. */
  pushContainer(tag: string, layer: Uint8Array, command: readonly string[]): Promise<string>
  /** What a registry's file has as `auth`: base64 of `user:password`. */
  readonly auth: string
}

export interface DockerRegistryOptions {
  /** Blobs are not sent but looked for below this url, as registries in front of object stores do it. */
  readonly redirectTo?: string
  /** Where it listens; 127.0.0.1 unless given. */
  readonly address?: string
}

const [USER, PASSWORD] = ['deploy', 'not-for-others']
/** Of the password, by crypt(5): the registry takes no other hash. */
const HASH = '$2b$05$abcdefghijklmnopqrstuuOYE9pvJpmB2mpOGf/jU.JLVU54HlGJK'
const REPOSITORY = 'os/image'

export async function startDockerRegistry({
  redirectTo,
  address = '127.0.0.1',
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
      http: { addr: `${address}:${port}` },
      auth: { htpasswd: { realm: 'images', path: users } },
      ...redirect,
    }),
  )
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  const url = `http://${address}:${port}/v2/`
  const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64')
  const authorization = `Basic ${auth}`
  const headers = { authorization }
  for (let tries = 0; tries < 600; tries++) {
    const answer = await fetch(url, { headers }).catch(() => undefined)
    if (answer?.ok) break
    await delay(100)
  }
  const put = async (place: URL | string, body: Uint8Array, type: string) => {
    const more = { ...headers, 'content-type': type }
    const done = await fetch(place, { method: 'PUT', headers: more, body: Buffer.from(body) })
    if (done.status !== 201) throw new Error(`the registry answers ${done.status}`)
  }
  const push = async (blob: Uint8Array) => {
    const uploads = await fetch(`${url}${REPOSITORY}/blobs/uploads/`, { method: 'POST', headers })
    const place = new URL(uploads.headers.get('location') as string, url)
    place.searchParams.set('digest', digestOf(blob))
    await put(place, blob, 'application/octet-stream')
    return `${url}${REPOSITORY}/blobs/${digestOf(blob)}`
  }
  return {
    authorization,
    auth,
    push,
    pushContainer: async (tag, layer, command) => {
      const { blobs, manifest } = containerOf(layer, command)
      for (const blob of blobs) await push(blob)
      await put(`${url}${REPOSITORY}/manifests/${tag}`, manifest, `${MEDIA}.manifest.v1+json`)
      return `${address}:${port}/${REPOSITORY}:${tag}`
    },
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

const MEDIA = 'application/vnd.oci.image'

/** OCI image 1.1: a layer as it is, a configuration, a manifest. */
function containerOf(layer: Uint8Array, command: readonly string[]) {
  const config = Buffer.from(
    JSON.stringify({
      ...{ architecture: 'amd64', os: 'linux', config: { Cmd: command } },
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    }),
  )
  const described = (blob: Uint8Array, type: string) => ({
    ...{ mediaType: `${MEDIA}.${type}`, digest: digestOf(blob), size: blob.length },
  })
  const manifest = Buffer.from(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: `${MEDIA}.manifest.v1+json` },
      config: described(config, 'config.v1+json'),
      layers: [described(layer, 'layer.v1.tar')],
    }),
  )
  return { blobs: [layer, config], manifest }
}

function digestOf(blob: Uint8Array): string {
  return `sha256:${createHash('sha256').update(blob).digest('hex')}`
}
