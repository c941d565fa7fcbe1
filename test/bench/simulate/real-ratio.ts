// SPDX-License-Identifier: Apache-2.0
// Owns how well a real image packs for a swarm: what lies on this machine's disk, without any holes, packed as
// `ironswarm torrent create --zstd` does. Does not simulate.
import { spawn } from 'node:child_process'
import { packImage } from '../../../agent/image/formats/seekable/pack-image.ts'

const MiB = 1024 * 1024
const SAMPLE_BYTES = 256 * MiB

/** Bytes of image for each byte of the packed file, seek table and padding counted. */
export async function measureRatio(pieceLength: number): Promise<number> {
  const image = await systemFiles()
  const packedBytes = await packImage({
    read: async ({ offset, length }, target) => {
      target.set(image.subarray(offset, offset + length))
    },
    imageBytes: image.length,
    pieceLength,
    write: async () => undefined,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  })
  return image.length / packedBytes
}

/** The first of them, as tar(1) puts them together. */
async function systemFiles(): Promise<Uint8Array> {
  const folders = ['usr/lib', 'usr/bin', 'usr/share']
  const tar = spawn('tar', ['-c', '--ignore-failed-read', '-C', '/', ...folders], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const bytes = new Uint8Array(SAMPLE_BYTES)
  let filled = 0
  for await (const part of tar.stdout as AsyncIterable<Uint8Array>) {
    bytes.set(part.subarray(0, SAMPLE_BYTES - filled), filled)
    filled = Math.min(SAMPLE_BYTES, filled + part.length)
    if (filled === SAMPLE_BYTES) break
  }
  tar.kill()
  return bytes.subarray(0, filled)
}
