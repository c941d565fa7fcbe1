// SPDX-License-Identifier: Apache-2.0
// Owns a real, unmodified Ironic (Debian's ironic-api and ironic-conductor as one process, sqlite, fake
// power) and the calls an operator makes. Does not know the agent: that is agent-process.ts.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startFileServer } from './file-server.ts'
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
}

type Sections = Readonly<Record<string, Readonly<Record<string, string | number>>>>

export interface IronicOptions {
  /** Address of the API and of the conductor's HTTP server; loopback by default. */
  readonly host?: string
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
  /** Creates the node with its port and brings it to `available`; its uuid. */
  enrol(options: EnrolOptions): Promise<string>
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
}

/** Starts Ironic in a temporary directory; disposal stops it and removes the directory. */
export async function startIronic(options: IronicOptions = {}): Promise<Ironic> {
  const { host = '127.0.0.1' } = options
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-ironic-'))
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
  const files = await startFileServer(join(directory, 'httpboot'), host)
  const configFile = join(directory, 'ironic.conf')
  const settings = options.settings ?? {}
  await writeFile(configFile, ironicConf({ directory, host, port, filesUrl: files.url, settings }))
  await run('ironic-dbsync', ['--config-file', configFile, 'create_schema'], { timeout: 60_000 })
  const output = await open(join(directory, 'log/out'), 'a')
  // it ends with this process, however that ends (prctl(2), PR_SET_PDEATHSIG)
  const argv = ['--pdeathsig', 'TERM', '--', '/usr/bin/ironic', '--config-file', configFile]
  const child = spawn('setpriv', argv, {
    stdio: ['ignore', output.fd, output.fd],
  })
  await output.close()
  const ironic = createIronic({
    directory,
    url,
    filesUrl: files.url,
    child,
    closeFiles: async () => await files[Symbol.asyncDispose](),
  })
  try {
    await waitUntilUp(ironic, child)
  } catch (error) {
    const log = await ironic.conductorLog()
    await ironic[Symbol.asyncDispose]()
    throw new Error(`Ironic did not come up; end of its log:\n${log.slice(-3000)}`, {
      cause: error,
    })
  }
  return ironic
}

interface Parts {
  readonly directory: string
  readonly url: string
  readonly filesUrl: string
  readonly child: ChildProcess
  readonly closeFiles: () => Promise<void>
}

function createIronic({ directory, url, filesUrl, child, closeFiles }: Parts): Ironic {
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        'X-OpenStack-Ironic-API-Version': '1.82',
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
  const waitFor: Ironic['waitFor'] = async (uuid, states, timeoutMs = 150_000) => {
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
  return {
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
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
      await closeFiles()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function nodeBody({ name, bootMode, properties }: EnrolOptions, filesUrl: string) {
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
  }
}

async function waitUntilUp(ironic: Ironic, child: ChildProcess): Promise<void> {
  const end = Date.now() + 60_000
  for (;;) {
    if (child.exitCode !== null) throw new Error(`ironic ended with ${child.exitCode}`)
    try {
      const drivers = JSON.stringify(await ironic.call('GET', '/v1/drivers'))
      if (drivers.includes('manual-management')) return
    } catch (error) {
      if (Date.now() > end) throw error
    }
    await delay(200)
  }
}

interface ConfOptions {
  readonly directory: string
  readonly host: string
  readonly port: number
  readonly filesUrl: string
  readonly settings: Sections
}

function ironicConf({ directory, host, port, filesUrl, settings }: ConfOptions): string {
  const usual: Sections = {
    DEFAULT: {
      debug: 'True',
      host: 'ironswarm-test',
      my_ip: host,
      auth_strategy: 'noauth',
      // one process with API and conductor needs no message bus
      rpc_transport: 'none',
      state_path: `${directory}/state`,
      log_dir: `${directory}/log`,
      tempdir: `${directory}/state`,
      force_raw_images: 'False',
      enabled_hardware_types: 'manual-management,fake-hardware',
      enabled_boot_interfaces: 'ipxe,fake',
      enabled_deploy_interfaces: 'direct',
      enabled_inspect_interfaces: 'no-inspect',
      enabled_management_interfaces: 'noop,fake',
      enabled_network_interfaces: 'noop',
      default_network_interface: 'noop',
      enabled_power_interfaces: 'agent,fake',
      enabled_raid_interfaces: 'no-raid,agent',
      enabled_rescue_interfaces: 'no-rescue,agent',
      enabled_storage_interfaces: 'noop',
      enabled_vendor_interfaces: 'no-vendor,fake',
      enabled_bios_interfaces: 'no-bios',
      enabled_console_interfaces: 'no-console',
    },
    api: {
      host_ip: host,
      port,
      api_workers: 1,
      public_endpoint: `http://${host}:${port}`,
    },
    database: { connection: `sqlite:///${directory}/state/ironic.sqlite` },
    dhcp: { dhcp_provider: 'none' },
    service_catalog: { auth_type: 'none', endpoint_override: `http://${host}:${port}` },
    agent: {
      image_download_source: 'http',
      certificates_path: `${directory}/certs`,
      deploy_logs_local_path: `${directory}/deploylogs`,
      command_wait_interval: 1,
      post_deploy_get_power_state_retries: 1,
      post_deploy_get_power_state_retry_interval: 1,
    },
    conductor: { automated_clean: 'False', sync_power_state_interval: 0 },
    deploy: { http_url: filesUrl, http_root: `${directory}/httpboot`, default_boot_mode: 'uefi' },
    pxe: {
      tftp_root: `${directory}/tftpboot`,
      tftp_master_path: `${directory}/tftpboot/master_images`,
      images_path: `${directory}/images/`,
      instance_master_path: `${directory}/master`,
    },
    oslo_concurrency: { lock_path: `${directory}/state` },
    oslo_messaging_notifications: { driver: 'noop' },
    json_rpc: { auth_strategy: 'noauth', host_ip: host },
  }
  const names = new Set([...Object.keys(usual), ...Object.keys(settings)])
  return [...names]
    .map(
      (name) =>
        `[${name}]\n${Object.entries({ ...usual[name], ...settings[name] })
          .map(([key, value]) => `${key} = ${value}\n`)
          .join('')}`,
    )
    .join('\n')
}
