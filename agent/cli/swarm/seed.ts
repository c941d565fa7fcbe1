// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm seed`: any host serves an image file or a device to the swarm. Does not download.
import { basename } from 'node:path'
import type { Command } from 'commander'
import { untilAborted } from '../../core/deadline.ts'
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
import { requireReadable } from '../input-file.ts'
import { logFor, openScreen, type Screen } from '../terminal/screen.ts'
import {
  createStatusMeter,
  lastLine,
  type SeedStatus,
  type StatusMeter,
  statusLine,
} from './seed-status.ts'
import { makeTorrent, trackerFlags } from './torrent.ts'
import { readTorrentFile } from './torrent-file.ts'

/** Between two plain lines or JSON objects; a terminal is written over each second. */
const REPORT_MS = 10_000
const LIVE_MS = 1000

/**
 * Seeds until the signal aborts, which is how a seed ends well. With --json a JSON object every 10 s and at the end.
 * @throws InvalidConfigError without any tracker, InvalidCommandParamsError for a file that cannot be read, SwarmError if the seeder cannot go on, CancelledError before it seeds
 */
export async function runSeed(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  using screen = openScreen(line, { isJson })
  const { loaded, root, log } = await openContext(line, command, logFor(screen, isJson))
  const { config } = loaded
  const path = String(command.getOptionValue('path'))
  const torrent = command.getOptionValue('torrent') as string | undefined
  const output = String(command.getOptionValue('output') ?? `${basename(path)}.torrent`)
  const trackers = trackerFlags(command)
  // before an hour of hashing: what is made here has no trackers but these
  if (torrent === undefined && trackers.length + config.swarm_trackers.length === 0) {
    throw noTracker()
  }
  await requireReadable(path)
  const metainfo =
    torrent === undefined
      ? await makeTorrent(line, command, { output, root })
      : (await readTorrentFile(torrent)).metainfo
  const task = createSwarmTask(config, metainfo, { trackers })
  const asked = task.torrent.trackers.flat().length
  if (asked === 0) throw noTracker()
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
  screen.say(`${words}; Ctrl-C ends it`)
  using meter = createStatusMeter(seeder, line.events, {
    trackers: asked,
    now: () => performance.now(),
  })
  await reportUntilAborted(line, { seeder, meter, screen, isJson })
}

function noTracker(): AgentError {
  return new AgentError(
    'InvalidConfigError',
    'neither the torrent nor a flag names a tracker, so no node would find this seed; give --tracker',
  )
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

interface Report {
  readonly seeder: Seeder
  readonly meter: StatusMeter
  readonly screen: Screen
  readonly isJson: boolean
}

async function reportUntilAborted(line: CommandLine, report: Report): Promise<void> {
  const { seeder, meter, screen, isJson } = report
  const isLive = screen.isTerminal && !isJson
  const tell = (text: string, status: SeedStatus) => {
    if (isJson) line.stdout.write(`${JSON.stringify(status)}\n`)
    else screen.say(text)
  }
  const timer = setInterval(
    () => {
      const status = meter.read()
      if (isLive) screen.live(statusLine(status))
      else tell(statusLine(status), status)
    },
    isLive ? LIVE_MS : REPORT_MS,
  )
  try {
    await Promise.race([untilAborted(line.signal), seeder.failure])
  } finally {
    clearInterval(timer)
  }
  const status = meter.read()
  screen[Symbol.dispose]()
  tell(lastLine(status), status)
}
