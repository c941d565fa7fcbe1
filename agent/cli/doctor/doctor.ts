// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm doctor`: which checks are made, in which order their findings are shown, and when that is a
// failure. Writes to no disk.
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { type CommandLine, type Context, openContext } from '../command-line.ts'
import { CommandFailure } from '../failure.ts'
import { trackerFlags } from '../swarm/torrent.ts'
import { readTorrentFile } from '../swarm/torrent-file.ts'
import { logFor, openScreen } from '../terminal/screen.ts'
import { type Finding, findingLines, skip, type Verdict } from './finding.ts'
import { checkAddresses, checkDisks, checkMemory, checkPrograms } from './machine-checks.ts'
import {
  checkClock,
  checkIronic,
  checkOrigin,
  checkTracker,
  type ServerDeps,
} from './server-checks.ts'

/**
 * Checks this machine and the servers that are named, and prints what works, what does not, and what to do.
 * @throws CommandFailure with CommandExecutionError (exit code 1) if a deploy would fail here
 */
export async function runDoctor(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  using screen = openScreen(line, { isJson })
  const context = await openContext(line, command, logFor(screen, isJson))
  const findings: Finding[] = []
  for (const check of await checksOf(line, command, context)) {
    const found = [await check].flat()
    // what broken off checks say is not what was found
    throwIfAborted(line.signal)
    for (const finding of found) {
      findings.push(finding)
      for (const text of findingLines(finding)) screen.say(text)
    }
  }
  const failed = findings.filter(({ verdict }) => verdict === 'fail')
  const counts = countsOf(findings)
  if (failed.length > 0) {
    const names = [...new Set(failed.map(({ check }) => check))].join(', ')
    const error = new AgentError(
      'CommandExecutionError',
      `${failed.length} of ${findings.length} checks failed: ${names}`,
    )
    throw new CommandFailure(error, { healthy: false, counts, checks: findings })
  }
  screen.say(
    `${findings.length} checks: ${counts.ok} ok, ${counts.warn} warned, ${counts.skip} skipped`,
  )
  if (isJson) {
    line.stdout.write(`${JSON.stringify({ healthy: true, counts, checks: findings })}\n`)
  }
}

/** All begin at once; each has its own deadline. */
async function checksOf(
  line: CommandLine,
  command: Command,
  { loaded, root, log }: Context,
): Promise<Promise<Finding | Finding[]>[]> {
  const { config } = loaded
  const { random, signal } = line
  const deps: ServerDeps = { config, log, random, signal }
  const urls = (command.getOptionValue('url') as string[] | undefined) ?? []
  const torrent = command.getOptionValue('torrent') as string | undefined
  const metainfo = torrent === undefined ? undefined : (await readTorrentFile(torrent)).metainfo
  const named = [...(metainfo?.trackers.flat() ?? []), ...trackerFlags(command)]
  const trackers = [...new Set([...named, ...config.swarm_trackers])]
  const origins = [...new Set([...urls, ...(metainfo?.webSeeds ?? [])])]
  const ironics = config.api_url.filter((url) => url !== 'mdns')
  const about = {
    infoHash: metainfo?.infoHash ?? randomBytes(20).toString('hex'),
    isKnown: metainfo !== undefined,
  }
  const device = command.getOptionValue('device') as string | undefined
  const checks: Promise<Finding | Finding[]>[] = [
    checkClock(origins[0] ?? ironics[0], line.now, deps),
    checkMemory(root, config),
    checkPrograms(),
    Promise.resolve(checkAddresses()),
    checkDisks(root, device),
    ...ironics.map((url) => checkIronic(url, deps)),
    ...origins.map((url) => checkOrigin(url, deps)),
    ...trackers.map((url) => checkTracker(url, about, deps)),
    Promise.resolve(notAsked({ ironics, origins, trackers })),
  ]
  // each is met in its turn
  for (const check of checks) check.catch(() => undefined)
  return checks
}

function notAsked(named: Record<'ironics' | 'origins' | 'trackers', readonly string[]>): Finding[] {
  return [
    ...(named.ironics.length === 0 ? [skip('ironic', '--api-url names it')] : []),
    ...(named.origins.length === 0 ? [skip('origin', '--url names an image')] : []),
    ...(named.trackers.length === 0 ? [skip('tracker', '--torrent or --tracker names one')] : []),
  ]
}

function countsOf(findings: readonly Finding[]): Record<Verdict, number> {
  const counts = { ok: 0, warn: 0, fail: 0, skip: 0 }
  for (const { verdict } of findings) counts[verdict] += 1
  return counts
}
