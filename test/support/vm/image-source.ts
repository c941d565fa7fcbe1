// SPDX-License-Identifier: Apache-2.0
// Owns where machines get their image from: an HTTP origin on the laboratory's bridge, and with a swarm
// the tracker and the torrent beside it, made as an operator makes it.
import { execFile, spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { type DiskImage, describeImage } from '../disk-image.ts'
import { createHttpOrigin, type HttpOrigin } from '../http-origin.ts'
import { stopChild } from '../processes.ts'
import { startTracker } from '../tracker.ts'
import { LAB_ADDRESS } from './network.ts'

const run = promisify(execFile)
const PROJECT = join(import.meta.dirname, '../../..')

export interface ImageSource extends AsyncDisposable {
  readonly image: DiskImage
  readonly origin: HttpOrigin
  readonly torrentUrl: string
  /** An operator's seed beside the origin, with more flags, until it is disposed of. */
  seed(...flags: readonly string[]): AsyncDisposable
}

/** Serves the image file; `folder` gets the torrent. */
export async function createImageSource(path: string, folder: string): Promise<ImageSource> {
  await using stack = new AsyncDisposableStack()
  await mkdir(folder, { recursive: true })
  const tracker = stack.use(await startTracker(LAB_ADDRESS))
  const torrent = join(folder, `${basename(path)}.torrent`)
  // biome-ignore format: one flag and its value per pair
  await run(process.execPath, [join(PROJECT, 'agent/main.ts'), 'torrent', 'create',
    '--path', path, '--output', torrent, '--tracker', tracker.url])
  const origin = stack.use(
    await createHttpOrigin({
      path,
      name: basename(path),
      host: LAB_ADDRESS,
      files: { '/image.torrent': await readFile(torrent) },
    }),
  )
  const image = await describeImage(path)
  const owned = stack.move()
  return {
    image,
    origin,
    torrentUrl: `${origin.baseUrl}/image.torrent`,
    seed: (...flags) => {
      const argv = ['--pdeathsig', 'TERM', '--', process.execPath, join(PROJECT, 'agent/main.ts')]
      const seeding = ['seed', '--path', path, '--torrent', torrent, ...flags]
      const child = spawn('setpriv', [...argv, ...seeding], { stdio: 'ignore' })
      return { [Symbol.asyncDispose]: () => stopChild(child) }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
