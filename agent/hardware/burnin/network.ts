// SPDX-License-Identifier: Apache-2.0
// Owns the burn-in of the network between two nodes by fio (contract 7.4): one writes, the other reads, then the other way
// round. Does not pair nodes; the operator says who is whose partner.
import { sleep } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import type { Root } from '../../system/root.ts'
import type { StepCall } from '../manager.ts'
import { byTheClock } from './by-the-clock.ts'
import { type FioEnd, runFio } from './fio.ts'
import { type BurninDeps, burninError, lastLines } from './run.ts'
import { type BurninFields, burninFields } from './settings.ts'

const ROLES = ['writer', 'reader'] as const
type Role = (typeof ROLES)[number]

/** ironic-python-agent's, on both sides. */
const PORT = 9000
const STREAMS = 16
const RUNTIME_S = 21_600
/** How long a partner is waited for whose burn-in has not begun, s: nodes are cleaned one after the other. */
const PATIENCE_S = 86_400
/** A reader whose writer does not listen yet ends at once. */
const RETRY_MS = 10_000
/**
 * Both nodes change their roles at the same moment. A reader that finds some of its writer's streams listening and others not
 * yet has failed, and cannot try the latter again: fio has one end for all.
 */
const HEAD_START_MS = 5000
const GRACE_MS = 600_000

export interface NetworkBurninDeps extends BurninDeps {
  readonly root: Root
}

interface Pair {
  readonly role: Role
  readonly partner: string
}

/**
 * Throws InvalidCommandParamsError, CleaningError where it is not said who the partner is, CommandExecutionError,
 * CancelledError.
 */
export async function burnInNetwork(
  deps: NetworkBurninDeps,
  { node, context }: StepCall,
): Promise<string> {
  const fields = burninFields(node)
  const seconds = fields.count('agent_burnin_fio_network_runtime', RUNTIME_S, 1)
  const patience = fields.count('agent_burnin_fio_network_pairing_timeout', PATIENCE_S, 1)
  const outputFile = fields.path('agent_burnin_fio_network_outputfile')
  const { role, partner } = readPair(fields)
  const sentences: string[] = []
  for (const now of role === 'writer' ? ROLES : [...ROLES].reverse()) {
    deps.log.info({ role: now, partner }, 'network burn-in')
    const end = await runRole(deps, context, {
      role: now,
      partner,
      seconds,
      patienceMs: patience * 1000,
      outputFile: outputFile && `${outputFile}.${now}`,
    })
    sentences.push(describe(now, partner, end))
  }
  return sentences.join('; ')
}

function readPair(fields: BurninFields): Pair {
  const name = 'agent_burnin_fio_network_config'
  const config = fields.object(name)
  if (config === undefined) throw noPair(fields)
  const role = ROLES.find((each) => each === config['role'])
  const partner = config['partner']
  // it is given to fio, which must not take it for anything else
  if (typeof partner !== 'string' || !/^[\w:][\w.:%-]{0,252}$/.test(partner)) {
    throw new AgentError(
      'CleaningError',
      `driver_info.${name} needs partner, a host name or address`,
    )
  }
  if (role !== undefined) return { role, partner }
  throw new AgentError(
    'CleaningError',
    `driver_info.${name} needs role, one of ${ROLES.join(', ')}`,
  )
}

/** tooz's backends are clients in Python of Zookeeper, etcd, Redis and others, which this agent has none of. */
function noPair(fields: BurninFields): AgentError {
  const url = fields.text('agent_burnin_fio_network_pairing_backend_url', '', /^/, 'a URL')
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(url)?.[0]
  const why =
    url === ''
      ? 'nobody says who the partner of this node is'
      : `this agent pairs nodes by no coordination backend${scheme ? `, and ${scheme} is one` : ''}`
  return new AgentError(
    'CleaningError',
    `network burn-in: ${why}; give both nodes driver_info.agent_burnin_fio_network_config: {"role": "writer" or "reader", ` +
      '"partner": the address of the other}',
  )
}

interface RoleRun {
  readonly role: Role
  readonly partner: string
  readonly seconds: number
  readonly patienceMs: number
  readonly outputFile: string | undefined
}

async function runRole(
  deps: NetworkBurninDeps,
  context: StepCall['context'],
  { role, partner, seconds, patienceMs, outputFile }: RoleRun,
): Promise<FioEnd> {
  const words = [
    ...['--ioengine=net', `--port=${PORT}`, '--fill_device=1', '--group_reporting'],
    ...['--gtod_reduce=1', `--numjobs=${STREAMS}`],
    ...(role === 'writer'
      ? ['--name=writer', '--rw=write', `--runtime=${seconds}`, '--time_based', '--listen']
      : ['--name=reader', '--rw=read', `--hostname=${partner}`]),
  ]
  const timeoutMs = patienceMs + seconds * 1000 + GRACE_MS
  const run = { what: `network as ${role}`, words, seconds, timeoutMs, outputFile }
  const timed = { subject: run.what, seconds, hasBegun: () => hasPartner(deps.root) }
  const end = performance.now() + patienceMs
  if (role === 'reader') await sleep(HEAD_START_MS, context.signal)
  for (;;) {
    const fio = await byTheClock(context.events, timed, () => runFio(deps, context, run))
    if (fio.exitCode === 0) return fio
    const moved = fio.jobs.some(({ readBytes, writtenBytes }) => readBytes + writtenBytes > 0)
    const said = lastLines(`${fio.stderr}\n${fio.stdout.startsWith('{') ? '' : fio.stdout}`, 3)
    const details = `fio as ${role} with ${partner}: exit code ${fio.exitCode}${said && `: ${said}`}`
    if (role === 'writer' || moved || fio.exitCode !== STREAMS)
      throw burninError('network', details)
    if (performance.now() > end) {
      const minutes = Math.round(patienceMs / 60_000)
      throw burninError(
        'network',
        `${details}; the partner has not listened for ${minutes} minutes`,
      )
    }
    deps.log.info({ partner, retry_in_s: RETRY_MS / 1000 }, 'the partner does not listen yet')
    await sleep(RETRY_MS, context.signal)
  }
}

/** A stream of these two stands (Documentation/networking/proc_net_tcp.rst: addresses and ports are hex, 01 is established). */
async function hasPartner(root: Root): Promise<boolean> {
  const port = `:${PORT.toString(16).toUpperCase()}`
  const tables = await Promise.all([
    root.readText('/proc/net/tcp'),
    root.readText('/proc/net/tcp6'),
  ])
  const rows = tables
    .flatMap((table) => table?.split('\n') ?? [])
    .map((row) => row.trim().split(/\s+/))
  return rows.some(
    ([, local = '', remote = '', state]) =>
      state === '01' && (local.endsWith(port) || remote.endsWith(port)),
  )
}

function describe(role: Role, partner: string, { jobs }: FioEnd): string {
  const bytes = jobs.reduce((sum, job) => sum + job.readBytes + job.writtenBytes, 0)
  return role === 'writer'
    ? `${formatBytes(bytes)} sent to ${partner}`
    : `${formatBytes(bytes)} received from ${partner}`
}
