// SPDX-License-Identifier: Apache-2.0
// Owns a real, unmodified Ironic (API and conductor as one process, sqlite, fake power) and the calls an
// operator makes. Does not know the agent (agent-process.ts), nor where Ironic comes from (ironic/program.ts).
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startFileServer } from './file-server.ts'
import { ironicConf, type Sections } from './ironic/conf.ts'
import { INSTALLED_IRONIC, type IronicProgram } from './ironic/program.ts'
import { freePort, stopChild } from './processes.ts'

const run = promisify(execFile)

/** The fields of a node that tests look at. */
export interface IronicNode {
  readonly uuid: string
  readonly provision_state: string
  readonly last_error: string | null
  readonly power_state: string | null
  readonly driver_internal_info: Record<string, unknown>
}

export interface EnrolOptions {
  readonly name: string
  readonly mac: string
  readonly bootMode: 'uefi' | 'bios'
  readonly properties?: Record<string, unknown>
  /** Further fields of the node; given when it is made, because one release spoils nodes that are patched. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** How far it is brought; `available` by default. */
  readonly until?: 'manageable' | 'available'
}

export interface IronicOptions {
  /** The one installed on this machine, by default. */
  readonly program?: IronicProgram
  /** Whether agents must serve TLS, which Ironic asks of them by default from 29 on; false by default. */
  readonly requireTls?: boolean
  /** Address of the API and of the conductor's HTTP server; loopback by default. */
  readonly host?: string
  /** A CA that Ironic trusts when it asks image servers and registries, and no other, PEM. */
  readonly imageCa?: string
  /** Rows of ironic.conf, by section, over those of `ironicConf`. */
  readonly settings?: Sections
  /** Files for the conductor's HTTP server: path by name. */
  readonly files?: Readonly<Record<string, string>>
}

export interface Ironic extends AsyncDisposable {
  readonly url: string
  /** The conductor's HTTP server: kernel, ramdisk, boot scripts. */
  readonly filesUrl: string
  /** One REST call; throws with status and body for anything >= 400. */
  call(method: string, path: string, body?: unknown): Promise<unknown>
  /** Creates the node with its port and brings it to the state that was wished for; its uuid. */
  enrol(options: EnrolOptions): Promise<string>
  /**
   * By PATCH, which Debian's 29.0.5 spoils: it makes the node its own parent, and the next deploy finds
   * the node locked by itself. Where that release may run, give `instance_info` to `enrol`.
   */
  setInstanceInfo(uuid: string, instanceInfo: Record<string, unknown>): Promise<void>
  provision(uuid: string, target: string, extra?: Record<string, unknown>): Promise<void>
  node(uuid: string): Promise<IronicNode>
  /** Waits for one of these states; throws when the deadline passes or the conductor gives up. */
  waitFor(uuid: string, states: readonly string[], timeoutMs?: number): Promise<IronicNode>
  /** Log bundles the conductor collected, as absolute paths. */
  deployLogs(): Promise<string[]>
  /** The certificate the conductor keeps for this node's agent, or undefined. */
  certificate(uuid: string): Promise<string | undefined>
  conductorLog(): Promise<string>
  /**
   * Ends API and conductor, and starts them again with what they had stored.
   * @param meanwhile what is done while nobody answers
   */
  restart(meanwhile?: () => Promise<void>): Promise<void>
}

/** Of schema, and of API and drivers: 6 s on a quiet machine, minutes where many tests share two cores. */
const START_TIMEOUT_MS = 480_000

/** Starts Ironic in a temporary directory; disposal stops it and removes the directory. */
export async function startIronic(options: IronicOptions = {}): Promise<Ironic> {
  const { host = '127.0.0.1', program = INSTALLED_IRONIC, requireTls = false } = options
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-ironic-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const port = await freePort()
  const url = `http://${host}:${port}`
  for (const name of [
    'state',
    'log',
    'httpboot',
    'tftpboot/master_images',
    'images',
    'master',
    'certs',
    'deploylogs',
  ]) {
    await mkdir(join(directory, name), { recursive: true })
  }
  // the ipxe boot interface copies these for every node; nothing boots them here
  await writeFile(join(directory, 'httpboot/kernel'), 'kernel')
  await writeFile(join(directory, 'httpboot/ramdisk'), 'ramdisk')
  for (const [name, path] of Object.entries(options.files ?? {})) {
    await symlink(path, join(directory, 'httpboot', name))
  }
  const files = stack.use(await startFileServer(join(directory, 'httpboot'), host))
  const configFile = join(directory, 'ironic.conf')
  const settings = options.settings ?? {}
  const conf = { directory, host, port, filesUrl: files.url, requireTls, settings }
  await writeFile(configFile, ironicConf(conf))
  const [dbsync, ...words] = program.command('ironic-dbsync', directory)
  const createSchema = [...words, '--config-file', configFile, 'create_schema']
  await run(dbsync, createSchema, { timeout: START_TIMEOUT_MS })
  const caFile = join(directory, 'image-ca.pem')
  if (options.imageCa !== undefined) await writeFile(caFile, options.imageCa)
  const start = async (): Promise<ChildProcess> => {
    await using output = await open(join(directory, 'log/out'), 'a')
    // it ends with this process, however that ends (prctl(2), PR_SET_PDEATHSIG)
    const argv = [...program.command('ironic', directory), '--config-file', configFile]
    return spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...argv], {
      stdio: ['ignore', output.fd, output.fd],
      // 29 has no option for it that covers registries
      env: { ...process.env, ...(options.imageCa ? { REQUESTS_CA_BUNDLE: caFile } : {}) },
    })
  }
  const running = { child: await start() }
  stack.defer(() => stopChild(running.child))
  const ironic = createIronic({ directory, url, filesUrl: files.url, running, start })
  try {
    await waitUntilUp(ironic, running.child)
  } catch (error) {
    // what it says before it has a log, of a missing library for example
    const log = `${await readFile(join(directory, 'log/out'), 'utf8')}${await ironic.conductorLog()}`
    throw new Error(`Ironic did not come up; end of its log:\n${log.slice(-3000)}`, {
      cause: error,
    })
  }
  const owned = stack.move()
  return { ...ironic, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Somebody else ends it. */
type Running = Omit<Ironic, typeof Symbol.asyncDispose>

interface Parts {
  readonly directory: string
  readonly url: string
  readonly filesUrl: string
  /** The process of the moment. */
  readonly running: { child: ChildProcess }
  readonly start: () => Promise<ChildProcess>
}

function createIronic({ directory, url, filesUrl, running, start }: Parts): Running {
  let newest: string | undefined
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    newest ??= await newestVersion(url)
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        'X-OpenStack-Ironic-API-Version': newest,
        Accept: 'application/json',
        'Content-Type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    if (response.status >= 400) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }
  const node = async (uuid: string) => (await call('GET', `/v1/nodes/${uuid}`)) as IronicNode
  const provision = async (uuid: string, target: string, extra: Record<string, unknown> = {}) => {
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target, ...extra })
  }
  const waitFor: Ironic['waitFor'] = async (uuid, states, timeoutMs = 300_000) => {
    const end = Date.now() + timeoutMs
    for (;;) {
      const current = await node(uuid)
      if (states.includes(current.provision_state)) return current
      const isLost = / failed$|^error$/.test(current.provision_state)
      if (isLost || Date.now() > end) {
        throw new Error(
          `node ${uuid} is ${current.provision_state}, not ${states.join(' or ')}: ${current.last_error}`,
        )
      }
      await delay(200)
    }
  }
  const ironic: Running = {
    url,
    filesUrl,
    call,
    node,
    provision,
    waitFor,
    enrol: async (options) => {
      const { uuid } = (await call('POST', '/v1/nodes', nodeBody(options, filesUrl))) as IronicNode
      await call('POST', '/v1/ports', { node_uuid: uuid, address: options.mac })
      await provision(uuid, 'manage')
      await waitFor(uuid, ['manageable'])
      if (options.until === 'manageable') return uuid
      await provision(uuid, 'provide')
      await waitFor(uuid, ['available'])
      return uuid
    },
    setInstanceInfo: async (uuid, instanceInfo) => {
      await call('PATCH', `/v1/nodes/${uuid}`, [
        { op: 'add', path: '/instance_info', value: instanceInfo },
      ])
    },
    deployLogs: async () => {
      const folder = join(directory, 'deploylogs')
      return (await readdir(folder)).map((name) => join(folder, name))
    },
    certificate: async (uuid) => {
      try {
        return await readFile(join(directory, 'certs', `${uuid}.crt`), 'utf8')
      } catch {
        return undefined
      }
    },
    conductorLog: () => readFile(join(directory, 'log/ironic.log'), 'utf8').catch(() => ''),
    restart: async (meanwhile) => {
      await stopChild(running.child)
      await meanwhile?.()
      running.child = await start()
      await waitUntilUp(ironic, running.child)
    },
  }
  return ironic
}

/** The newest API version of this Ironic, as `GET /` names it: a call that asks for more is refused. */
async function newestVersion(url: string): Promise<string> {
  const response = await fetch(`${url}/`, { signal: AbortSignal.timeout(60_000) })
  const root = (await response.json()) as { default_version: { version: string } }
  return root.default_version.version
}

function nodeBody({ name, bootMode, properties, fields }: EnrolOptions, filesUrl: string) {
  return {
    name,
    driver: 'manual-management',
    boot_interface: 'ipxe',
    deploy_interface: 'direct',
    power_interface: 'fake',
    management_interface: 'noop',
    network_interface: 'noop',
    rescue_interface: 'agent',
    driver_info: { deploy_kernel: `${filesUrl}/kernel`, deploy_ramdisk: `${filesUrl}/ramdisk` },
    properties: {
      cpu_arch: 'x86_64',
      local_gb: 10,
      memory_mb: 1024,
      cpus: 1,
      capabilities: `boot_mode:${bootMode}`,
      ...properties,
    },
    ...fields,
  }
}

async function waitUntilUp(ironic: Running, child: ChildProcess): Promise<void> {
  const end = Date.now() + START_TIMEOUT_MS
  for (;;) {
    const ended = child.exitCode ?? child.signalCode
    if (ended !== null) throw new Error(`ironic ended with ${ended}`)
    try {
      const drivers = JSON.stringify(await ironic.call('GET', '/v1/drivers'))
      if (drivers.includes('manual-management')) return
    } catch (error) {
      if (Date.now() > end) throw error
    }
    await delay(200)
  }
}
