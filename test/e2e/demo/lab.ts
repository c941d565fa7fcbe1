// SPDX-License-Identifier: Apache-2.0
// Owns the laboratory: Ironic stand-in, tracker, image origin, machines, all on loopback, and its end:
// whatever happens, no process, loop device or file is left. Does not deploy.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, readFile, rm, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { formatBytes } from '../../../agent/core/units.ts'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'
import { createHttpOrigin, type HttpOrigin } from '../../support/http-origin.ts'
import { startTracker } from '../../support/tracker.ts'
import { createMachine, type Machine } from './machine.ts'
import { type DemoSettings, PROJECT } from './settings.ts'
import { removeStaleRuns, runFolder } from './stale-runs.ts'

const run = promisify(execFile)
const GiB = 1024 ** 3
const MiB = 1024 ** 2
const RUNS = join(PROJECT, 'build/demo')

export interface Lab extends AsyncDisposable {
  readonly ironic: FakeIronic
  readonly origin: HttpOrigin
  readonly machines: readonly Machine[]
  readonly sha512: string
  /** URL of the .torrent; undefined without a swarm. */
  readonly torrentUrl: string | undefined
}

/** Builds everything up to machines that are switched off. On failure nothing is left behind. */
export async function createLab(settings: DemoSettings, signal: AbortSignal): Promise<Lab> {
  await removeStaleRuns(RUNS)
  await checkSpace(settings)
  await using stack = new AsyncDisposableStack()
  const folder = runFolder(RUNS)
  await mkdir(folder, { recursive: true })
  stack.defer(() => rm(folder, { recursive: true, force: true }))

  const files: Record<string, Uint8Array> = {}
  if (settings.swarm !== 'off') {
    const tracker = stack.use(await startTracker())
    files['/image.torrent'] = await makeTorrent(settings, tracker.url, folder, signal)
  }
  const name = basename(settings.image)
  const { originRate } = settings
  const origin = stack.use(
    await createHttpOrigin({
      path: settings.image,
      name,
      files,
      faults: originRate ? { rateBytesPerSecond: originRate } : {},
    }),
  )
  const sha512 = await hashOf(settings.image, signal)
  const machines = await createMachines(stack, settings, folder, signal)
  const byUuid = new Map(machines.map((machine) => [machine.uuid, machine]))
  const ironic: FakeIronic = stack.use(
    await createFakeIronic({
      nodes: machines.map(({ uuid, mac, name: nodeName }) => ({ uuid, mac, name: nodeName })),
      callbackTimeoutMs: 600_000,
      power: {
        on: ({ uuid }) => byUuid.get(uuid)?.start(ironic.url),
        isOn: ({ uuid }) => byUuid.get(uuid)?.isOn() ?? false,
        off: ({ uuid }) => byUuid.get(uuid)?.stop(),
      },
    }),
  )
  const owned = stack.move()
  return {
    ironic,
    origin,
    machines,
    sha512,
    torrentUrl: files['/image.torrent'] && `${origin.baseUrl}/image.torrent`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function createMachines(
  stack: AsyncDisposableStack,
  settings: DemoSettings,
  folder: string,
  signal: AbortSignal,
): Promise<Machine[]> {
  const hasConfigDrive = existsSync('/usr/bin/genisoimage')
  if (!hasConfigDrive) {
    console.log('demo: without config drives: genisoimage is not installed (needs root and apt)')
  }
  // Ironic takes no disk below 4 GiB; the file is sparse, so it costs what is written
  const diskBytes = Math.max(4 * GiB, Math.ceil(settings.imageBytes / MiB + 256) * MiB)
  const machines: Machine[] = []
  for (let number = 1; number <= settings.nodes; number++) {
    signal.throwIfAborted()
    const { swarm } = settings
    machines.push(
      stack.use(await createMachine({ number, folder, diskBytes, hasConfigDrive, swarm })),
    )
  }
  return machines
}

/** By the agent's own command line, as an operator makes it. */
async function makeTorrent(
  { image }: DemoSettings,
  trackerUrl: string,
  folder: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const path = join(folder, 'image.torrent')
  // biome-ignore format: one flag and its value per pair
  await run(process.execPath, [join(PROJECT, 'agent/main.ts'), 'torrent', 'create',
    '--path', image, '--output', path, '--tracker', trackerUrl], { signal })
  return readFile(path)
}

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha512')
  for await (const bytes of createReadStream(path, { highWaterMark: 4 * MiB, signal })) {
    hash.update(bytes)
  }
  return hash.digest('hex')
}

async function checkSpace({ nodes, imageBytes }: DemoSettings): Promise<void> {
  const { bavail, bsize } = await statfs(PROJECT)
  const neededBytes = nodes * (imageBytes + 80 * MiB)
  if (bavail * bsize < neededBytes) {
    throw new Error(
      `${nodes} disks need ${formatBytes(neededBytes)} under build/, ${formatBytes(bavail * bsize)} are free; take fewer NODES=`,
    )
  }
}
