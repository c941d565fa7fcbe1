// SPDX-License-Identifier: Apache-2.0
// Owns a real ironic-inspector beside a real Ironic: one process with API and conductor, sqlite, no other
// service, no PXE filter. Does not start Ironic, which has to know its port before.
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { stopChild } from '../processes.ts'
import type { Sections } from './conf.ts'

const run = promisify(execFile)
const START_TIMEOUT_MS = 240_000

export interface Inspector extends AsyncDisposable {
  /** What machines post to, as Ironic tells them. */
  readonly callbackUrl: string
  /** What it has stored of a node, as the operator reads it. */
  data(uuid: string): Promise<Record<string, unknown>>
  log(): Promise<string>
}

/** Ironic refuses loopback in what it tells machines; Linux connects to this as to loopback. */
function callbackHost(port: number): string {
  return `http://0.0.0.0:${port}`
}

/** Rows of ironic.conf for an Ironic that has inspections done by it. */
export function settingsForInspector(port: number): Sections {
  return {
    DEFAULT: { enabled_inspect_interfaces: 'no-inspect,inspector' },
    inspector: {
      auth_type: 'none',
      endpoint_override: `http://127.0.0.1:${port}`,
      callback_endpoint_override: callbackHost(port),
      require_managed_boot: 'True',
      // its status is asked for after that many seconds
      status_check_period: 2,
    },
  }
}

/** Starts it in a temporary directory; disposal stops it and removes the directory. */
export async function startInspector(port: number, ironicUrl: string): Promise<Inspector> {
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-inspector-'))
  const configFile = join(directory, 'inspector.conf')
  const url = `http://127.0.0.1:${port}`
  await writeFile(configFile, inspectorConf(directory, port, ironicUrl))
  await run('ironic-inspector-dbsync', ['--config-file', configFile, 'upgrade'], {
    timeout: START_TIMEOUT_MS,
  })
  const logFile = join(directory, 'log')
  const output = await open(logFile, 'a')
  // it ends with this process, however that ends (prctl(2), PR_SET_PDEATHSIG)
  const argv = ['--pdeathsig', 'TERM', '--', 'ironic-inspector', '--config-file', configFile]
  const child = spawn('setpriv', argv, { stdio: ['ignore', output.fd, output.fd] })
  await output.close()
  const log = () => readFile(logFile, 'utf8')
  const close = async () => {
    await stopChild(child)
    await rm(directory, { recursive: true, force: true })
  }
  const end = Date.now() + START_TIMEOUT_MS
  while (!(await answers(url))) {
    if (child.exitCode !== null || Date.now() > end) {
      const said = (await log()).slice(-3000)
      await close()
      throw new Error(`ironic-inspector did not come up; end of its log:\n${said}`)
    }
    await delay(200)
  }
  return {
    callbackUrl: `${callbackHost(port)}/v1/continue`,
    log,
    data: async (uuid) => {
      const response = await fetch(`${url}/v1/introspection/${uuid}/data`)
      return (await response.json()) as Record<string, unknown>
    },
    [Symbol.asyncDispose]: close,
  }
}

async function answers(url: string): Promise<boolean> {
  const request = fetch(`${url}/v1`, { signal: AbortSignal.timeout(10_000) })
  return await request.then(
    ({ ok }) => ok,
    () => false,
  )
}

function inspectorConf(directory: string, port: number, ironicUrl: string): string {
  const sections: Sections = {
    DEFAULT: {
      debug: 'True',
      auth_strategy: 'noauth',
      standalone: 'True',
      // API and conductor of one process talk in memory
      transport_url: 'fake://',
      listen_address: '127.0.0.1',
      listen_port: port,
      use_stderr: 'True',
    },
    database: { connection: `sqlite:///${directory}/inspector.sqlite` },
    ironic: { auth_type: 'none', endpoint_override: ironicUrl },
    pxe_filter: { driver: 'noop' },
    processing: {
      add_ports: 'all',
      store_data: 'database',
      ramdisk_logs_dir: `${directory}/logs`,
      always_store_ramdisk_logs: 'True',
      processing_hooks: '$default_processing_hooks,extra_hardware,lldp_basic',
    },
  }
  return Object.entries(sections)
    .map(([name, rows]) => {
      const lines = Object.entries(rows).map(([key, value]) => `${key} = ${value}\n`)
      return `[${name}]\n${lines.join('')}`
    })
    .join('\n')
}
