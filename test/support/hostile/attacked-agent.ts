// SPDX-License-Identifier: Apache-2.0
// Owns an agent that is about to be attacked: a process of its own with little memory, looked up by a
// stand-in of Ironic that waits for its heartbeats. Does not attack it.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { type AgentProcess, startAgent } from '../agent-process.ts'
import { type AgentClient, createAgentClient } from '../fake-ironic/agent-client.ts'
import { createFakeIronic, type FakeIronic } from '../fake-ironic.ts'
import { createMemoryGroup } from './memory-group.ts'
import { type ResidentSet, residentSetOf } from './resident-set.ts'

const MiB = 1024 * 1024
/** What a ramdisk's node may have to spare for everything that runs in it. */
const GROUP_BYTES = 384 * MiB
/** Ironic is told every 3 to 6 s then. */
const HEARTBEAT_TIMEOUT_S = 10
const NODE = { uuid: '9a5e1d0c-54f6-4c55-8a53-2f0f3ad0e001', mac: '52:54:00:00:0a:01' }
const START_MS = 240_000

export interface AttackedAgentOptions {
  /** The machine's only disk; a small file if none is given. */
  readonly device?: string
  /** Rows of the option table. */
  readonly options?: Readonly<Record<string, string | number | boolean>>
  /** Of the memory cgroup; 384 MiB unless given. */
  readonly limitBytes?: number
}

export interface AttackedAgent extends AsyncDisposable {
  readonly process: AgentProcess
  readonly ironic: FakeIronic
  readonly nodeUuid: string
  /** Knows the token, as the conductor does. */
  readonly conductor: AgentClient
  readonly token: string
  /** Where Ironic was told to call. */
  readonly url: URL
  /** A connection with its TLS handshake done; `close` comes without an `error` that anyone must hear. */
  connect(localAddress?: string): Promise<Socket>
  /** When the heartbeats so far came, ms of `performance.now()`. */
  heartbeats(): readonly number[]
  rss(): Promise<ResidentSet>
  /**
   * What its main thread had of the processor so far, ms, and how long it was ready and had to wait for one: on a
   * crowded machine answers take longer by as much.
   */
  processor(): Promise<{ readonly ranMs: number; readonly waitedMs: number }>
  /** False once the process has ended or the kernel has killed it. */
  isAlive(): Promise<boolean>
}

/** Resolves after the first heartbeat. `await using` ends all of it. */
export async function startAttackedAgent(
  options: AttackedAgentOptions = {},
): Promise<AttackedAgent> {
  await using started = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-hostile-'))
  started.defer(() => rm(directory, { recursive: true, force: true }))
  const group = started.use(await createMemoryGroup(options.limitBytes ?? GROUP_BYTES))
  const ironic = started.use(
    await createFakeIronic({
      nodes: [NODE],
      heartbeatTimeout: HEARTBEAT_TIMEOUT_S,
      fastTrack: true,
    }),
  )
  const process = started.use(
    await startAgent({
      name: 'attacked',
      mac: NODE.mac,
      device: options.device ?? (await smallDisk(directory)),
      apiUrl: ironic.url,
      directory: join(directory, 'agent'),
      on: group.words,
      // an attack is no place for a line a request
      options: { debug: false, lldp_timeout: 0, ...options.options },
    }),
  )
  const heartbeats = () =>
    ironic.apiCalls
      .filter(({ path, status }) => path.includes('/heartbeat/') && status === 202)
      .map(({ at }) => at)
  await firstHeartbeat(process, heartbeats)
  const node = ironic.nodes.get(NODE.uuid)
  const url = new URL(node?.agentUrl ?? '')
  const target = {
    url: url.href.replace(/\/$/, ''),
    token: node?.token ?? '',
    verifyCa: node?.agentVerifyCa ?? null,
  }
  const ended = started.move()
  return {
    process,
    ironic,
    nodeUuid: NODE.uuid,
    conductor: createAgentClient(target, {
      timeoutMs: 60_000,
      attempts: 3,
      retryDelayMs: 200,
      sendTokenOnGet: false,
      minTlsVersion: 'TLSv1.2',
      onCall: () => undefined,
    }),
    token: target.token,
    url,
    connect: (localAddress) => connect(url, localAddress),
    heartbeats,
    rss: () => residentSetOf(process.child.pid),
    processor: async () => {
      const text = await readFile(`/proc/${process.child.pid}/schedstat`, 'utf8').catch(() => '0 0')
      const [ran = 0, waited = 0] = text.split(' ').map(Number)
      return { ranMs: ran / 1e6, waitedMs: waited / 1e6 }
    },
    isAlive: async () => {
      const { exitCode, signalCode } = process.child
      return exitCode === null && signalCode === null && (await group.oomKills()) === 0
    },
    [Symbol.asyncDispose]: () => ended.disposeAsync(),
  }
}

async function smallDisk(directory: string): Promise<string> {
  const path = join(directory, 'disk')
  await writeFile(path, new Uint8Array(MiB))
  return path
}

async function firstHeartbeat(agent: AgentProcess, heartbeats: () => readonly number[]) {
  for (const end = performance.now() + START_MS; heartbeats().length === 0; ) {
    if (performance.now() > end || agent.child.exitCode !== null) {
      throw new Error(`the agent did not come up: ${(await agent.log()).slice(-2000)}`)
    }
    await delay(50)
  }
}

function connect(url: URL, localAddress: string | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const raw = createConnection({
      host: url.hostname,
      port: Number(url.port),
      ...(localAddress === undefined ? {} : { localAddress }),
    })
    raw.once('error', reject)
    const isTls = url.protocol === 'https:'
    const socket = isTls ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw
    socket.once('error', reject)
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      socket.removeListener('error', reject)
      // being cut off is what an attacker has to expect
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}
