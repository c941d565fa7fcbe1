// SPDX-License-Identifier: Apache-2.0
// Owns an image as an OCI registry serves it (OCI distribution 1.1: tags, index, manifest, blob), raw in one
// layer, over HTTPS. Does not ask for credentials.
import { createHash } from 'node:crypto'
import type { DiskImage } from '../disk-image.ts'
import type { TestAuthority } from '../http-certificates.ts'
import { createHttpOrigin } from '../http-origin.ts'

export interface OciImage extends AsyncDisposable {
  /** `oci://…:tag`: the registry's index leads to the manifest. */
  readonly byTag: string
  /** `oci://…@sha256:…`: the manifest itself. */
  readonly byDigest: string
}

const NAME = 'os/image'
const TAG = 'v1'
const MEDIA = 'application/vnd.oci'

/** @param authority whose server certificate the registry shows */
export async function serveOciImage(
  { path, sha256, sizeBytes }: DiskImage,
  { server }: TestAuthority,
): Promise<OciImage> {
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: `${MEDIA}.image.manifest.v1+json`,
    config: { mediaType: `${MEDIA}.empty.v1+json`, digest: digestOf('{}'), size: 2 },
    layers: [
      {
        mediaType: 'application/octet-stream',
        digest: `sha256:${sha256}`,
        size: sizeBytes,
        annotations: { 'org.opencontainers.image.title': 'image.raw' },
      },
    ],
  })
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: `${MEDIA}.image.index.v1+json`,
    manifests: [
      {
        mediaType: `${MEDIA}.image.manifest.v1+json`,
        digest: digestOf(manifest),
        size: manifest.length,
        annotations: { disktype: 'raw' },
        platform: { architecture: 'x86_64', os: 'linux' },
      },
    ],
  })
  const origin = await createHttpOrigin({
    path,
    tls: server,
    name: `v2/${NAME}/blobs/sha256:${sha256}`,
    files: {
      '/v2/': '{}',
      [`/v2/${NAME}/tags/list`]: JSON.stringify({ name: NAME, tags: [TAG] }),
      [`/v2/${NAME}/manifests/${TAG}`]: index,
      [`/v2/${NAME}/manifests/${digestOf(manifest)}`]: manifest,
    },
  })
  const repository = `oci://${new URL(origin.baseUrl).host}/${NAME}`
  return {
    byTag: `${repository}:${TAG}`,
    byDigest: `${repository}@${digestOf(manifest)}`,
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  }
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}
