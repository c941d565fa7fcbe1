// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm watch`: many nodes at once, by the status that anybody may read of their agents. Changes nothing.
import type { Command } from 'commander'
import { oneLine } from '../../core/cut-text.ts'
import { endedOrLate, sleep, untilAborted } from '../../core/deadline.ts'
import { AgentError, detailsOf } from '../../core/errors.ts'
import { createHttpClient, type HttpClient } from '../../http/client.ts'
import { type CommandLine, openContext } from '../command-line.ts'
import { createIronicAuth } from './ironic-auth.ts'
import { nodeOfUrl, nodesOfIronic } from './node-list.ts'
import type { WatchedNode } from './node-row.ts'
import { type Poller, startPoller } from './poller.ts'
import { createJsonShow, createLineShow, createScreenShow, type Show } from './show.ts'
import type { SortKey } from './table.ts'

/** Nodes come and go slowly. */
const LIST_MS = 10_000
/** With --once: longer than one answer may take. */
const ONCE_MS = 60_000
const LEAST_INTERVAL_S = 0.5

/**
 * Watches until Ctrl-C or q; with --once until each agent was asked once.
 * @throws InvalidCommandParamsError; with --once IronicAPIError where Ironic does not list its nodes
 */
export async function runWatch(line: CommandLine, command: Command): Promise<void> {
  const { loaded } = await openContext(line, command, { reader: 'person' })
  const { config } = loaded
  const named = command.args.map(nodeOfUrl)
  const ironic = ironicFlag(command)
  if (named.length === 0 && ironic === undefined) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'nothing to watch; name agents (http://host:9999 …) or an Ironic (--ironic http://host:6385)',
    )
  }
  const isOnce = command.getOptionValue('once') === true
  const intervalMs = intervalFlag(command) * 1000
  const isTrusting = command.getOptionValue('insecureAgents') === true
  await using client = createHttpClient({ config })
  await using agents = createHttpClient({
    config: { ...config, insecure: config.insecure || isTrusting },
    readsLittle: true,
  })
  const { signal, random } = line
  const clock = () => performance.now()
  const poller = startPoller({
    client: agents,
    signal,
    now: clock,
    wallClock: line.now,
    random,
    intervalMs,
    listens: !isOnce,
  })
  await using _poller = poller
  const list = createList(line, { client, ironic, named, poller, isOnce })
  await list.refresh()
  using show = openShow(line, command, isOnce)
  if (isOnce) {
    await endedOrLate(poller.allAsked(), ONCE_MS)
    const left = poller.leftToAsk()
    const notice = left === 0 ? list.notice() : `${left} agents could not be asked in time`
    show.draw({ rows: poller.rows(), notice })
    return
  }
  const draw = () => show.draw({ rows: poller.rows(), notice: list.notice() })
  const drawing = setInterval(draw, intervalMs)
  const listing = repeat(list.refresh, signal)
  try {
    draw()
    await Promise.race([untilAborted(signal), show.isOver])
  } finally {
    clearInterval(drawing)
    listing.stop()
  }
}

interface List {
  refresh(): Promise<void>
  /** Why the nodes are those of before; null: they are not. */
  notice(): string | null
}

interface ListOptions {
  readonly client: HttpClient
  readonly ironic: string | undefined
  readonly named: readonly WatchedNode[]
  readonly poller: Poller
  readonly isOnce: boolean
}

function createList(line: CommandLine, options: ListOptions): List {
  const { client, ironic, named, poller, isOnce } = options
  const { signal } = line
  const auth = createIronicAuth(line.env, client)
  let notice: string | null = null
  return {
    notice: () => notice,
    refresh: async () => {
      if (ironic === undefined) return poller.watch(named)
      try {
        const listed = await nodesOfIronic(ironic, { client, auth, signal })
        poller.watch([...named, ...listed])
        notice = null
      } catch (error) {
        if (isOnce || signal.aborted) throw error
        // one that is being restarted comes back
        notice = oneLine(`Ironic does not list its nodes: ${detailsOf(error)}`)
        if (poller.rows().length === 0) poller.watch(named)
      }
    },
  }
}

/** Again and again until stopped; each time has a deadline of its own. */
function repeat(work: () => Promise<void>, signal: AbortSignal): { stop(): void } {
  const stopped = new AbortController()
  const ended = AbortSignal.any([signal, stopped.signal])
  const go = async () => {
    while (!ended.aborted) {
      await sleep(LIST_MS, ended)
      await work()
    }
  }
  go().catch(() => undefined)
  return { stop: () => stopped.abort(new Error('no longer watched')) }
}

function openShow(line: CommandLine, command: Command, isOnce: boolean): Show {
  const { stdout } = line
  const options = {
    stdout,
    keyboard: line.keyboard?.(),
    sort: command.getOptionValue('sort') as SortKey,
    filter: (command.getOptionValue('filter') as string | undefined) ?? '',
    now: line.now,
  }
  if (command.getOptionValue('json') === true) return createJsonShow(options)
  return stdout.isTTY && !isOnce ? createScreenShow(options) : createLineShow(options)
}

function ironicFlag(command: Command): string | undefined {
  const url = command.getOptionValue('ironic') as string | undefined
  if (url === undefined || (/^https?:\/\//i.test(url) && URL.canParse(url))) return url
  throw new AgentError(
    'InvalidCommandParamsError',
    `--ironic is "${url}"; give its URL, for example http://ironic:6385`,
  )
}

function intervalFlag(command: Command): number {
  const seconds = Number(command.getOptionValue('interval'))
  if (seconds >= LEAST_INTERVAL_S && seconds <= 3600) return seconds
  throw new AgentError(
    'InvalidCommandParamsError',
    `--interval is "${command.getOptionValue('interval')}"; give seconds from ${LEAST_INTERVAL_S} to 3600`,
  )
}
