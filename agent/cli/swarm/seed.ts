// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm seed`: any host serves an image file or a device to the swarm. Does not download.
import { basename } from 'node:path'
import type { Command } from 'commander'
import { throwIfAborted, untilAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import type { ImageReader } from '../../core/extent.ts'
import { formatBytes } from '../../core/units.ts'
import { type BlockDevice, openBlockDevice } from '../../disk/block-device.ts'
import { overlay } from '../../disk/hold-back.ts'
import { guessOriginalHead } from '../../image/proof/original-head.ts'
import { createSeeder, type Seeder } from '../../sources/swarm/seeder.ts'
import { createSwarmTask } from '../../sources/swarm/swarm-task.ts'
import { createArenaBudget } from '../../sources/swarm/thread/arena-budget.ts'
import { startSwarmWorker } from '../../sources/swarm/thread/worker-host.ts'
import { type CommandLine, openContext } from '../command-line.ts'
import { makeTorrent, trackerFlags } from './torrent.ts'
import { readTorrentFile } from './torrent-file.ts'

const REPORT_MS = 10_000

/**
 * Seeds until the signal aborts.
 * @throws InvalidConfigError without any tracker, SwarmError if the seeder cannot go on
 */
export async function runSeed(line: CommandLine, command: Command): Promise<void> {
  const { loaded, root, log } = await openContext(line, command, { reader: 'person' })
  const { config } = loaded
  const path = String(command.getOptionValue('path'))
  const torrent = command.getOptionValue('torrent') as string | undefined
  const output = String(command.getOptionValue('output') ?? `${basename(path)}.torrent`)
  const metainfo =
    torrent === undefined
      ? await makeTorrent(line, command, output, false, root)
      : (await readTorrentFile(torrent)).metainfo
  const task = createSwarmTask(config, metainfo, { trackers: trackerFlags(command) })
  if (task.torrent.trackers.length === 0) {
    throw new AgentError(
      'InvalidConfigError',
      'neither the torrent nor a flag names a tracker, so no node would find this seed; give --tracker',
    )
  }
  await using device = await openBlockDevice(path, { mode: 'read', root, log })
  if (device.geometry.sizeBytes < metainfo.lengthBytes) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `${path} has ${device.geometry.sizeBytes} bytes, the torrent describes ${metainfo.lengthBytes}`,
    )
  }
  await using seeder = createSeeder(task, {
    readImage: await createImageReader(device, metainfo.lengthBytes),
    memory: createArenaBudget(config.swarm_memory),
    startWorker: startSwarmWorker,
    log,
    events: line.events,
  })
  const words = `seeding ${metainfo.name} (${metainfo.infoHash}, ${formatBytes(metainfo.lengthBytes)})`
  line.stdout.write(`${words}; Ctrl-C ends it\n`)
  await reportUntilAborted(line, seeder)
}

/** A deployed disk serves the image too: its head is shown as it was before it was fitted to the disk. */
async function createImageReader(device: BlockDevice, imageBytes: number): Promise<ImageReader> {
  const head = await guessOriginalHead(device, imageBytes)
  return async ({ offset, length }, target) => {
    const bytes = target ?? new Uint8Array(length)
    await device.read(offset, bytes)
    overlay(head, offset, bytes)
    return bytes
  }
}

async function reportUntilAborted(line: CommandLine, seeder: Seeder): Promise<void> {
  const timer = setInterval(() => {
    const { peers, uploadedBytes } = seeder.stats()
    line.stdout.write(`${peers} peers, ${formatBytes(uploadedBytes)} uploaded\n`)
  }, REPORT_MS)
  try {
    await Promise.race([untilAborted(line.signal), seeder.failure])
  } finally {
    clearInterval(timer)
  }
  throwIfAborted(line.signal)
}
