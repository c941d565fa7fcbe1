// A third-party hardware manager in the agent as it ships: from sources and from the bundle of the ramdisk.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startAgent } from '../../support/agent-process.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'
import { createTestAuthority } from '../../support/http-certificates.ts'
import { start } from './ironswarm.ts'

const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c123', mac: '52:54:00:00:00:01' }

let folder: string
let managers: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-hardware-'))
  managers = join(folder, 'managers')
  await mkdir(managers)
  // types are stripped, and a helper of its own is found
  await mkdir(join(managers, 'lib'))
  await writeFile(join(managers, 'lib/vendor.ts'), "export const VENDOR: string = 'ACME'\n")
  await writeFile(
    join(managers, 'acme.ts'),
    `import { VENDOR } from './lib/vendor.ts'
interface Vendor { product_name: string }
export const apiVersion = 1 as const
export const createHardwareManager = (agent: { decline(reason: string): never }) => ({
  name: 'acme',
  version: '7',
  evaluateHardwareSupport: (): number => 2,
  getSystemVendorInfo: () => ({
    product_name: 'Anvil',
    serial_number: '1',
    manufacturer: VENDOR,
    firmware: { vendor: '', version: '', build_date: '' },
  }) satisfies Vendor & object,
  steps: [{ kinds: ['clean'], step: 'polish', priority: 5, run: () => 'shiny' }],
})
`,
  )
  await writeFile(join(managers, 'broken.ts'), "throw new Error('no licence')\n")
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('ironswarm inventory asks it, and goes on without those that cannot be loaded', async () => {
  await writeFile(
    join(managers, 'hung.ts'),
    'setInterval(() => {}, 1000)\nawait new Promise(() => {})\n',
  )
  const words = ['--hardware-managers', managers, '--hardware-manager-timeout', '20']
  const { code, stdout, stderr } = await start(['inventory', ...words]).finished
  expect(stderr).toMatch(/hardware manager left out.*hung\.ts/)
  expect(stderr).toMatch(/hardware manager left out.*no licence/)
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ system_vendor: { manufacturer: 'ACME' } })
})

test("its certificate is the API's and the one that Ironic is told of", async () => {
  const authority = await createTestAuthority()
  const { cert, key } = authority.server
  const pair = JSON.stringify({ certificate: cert, key })
  await writeFile(
    join(managers, 'certified.ts'),
    `export const apiVersion = 1
export const createHardwareManager = () => ({
  name: 'certified',
  version: '1',
  evaluateHardwareSupport: () => 3,
  generateTlsCertificate: (address) => {
    if (address !== '127.0.0.1') throw new Error(address)
    return ${pair}
  },
})
`,
  )
  const disk = join(folder, 'disk')
  await writeFile(disk, new Uint8Array(1024 * 1024))
  await using ironic = await createFakeIronic({
    ...{ nodes: [NODE], heartbeatTimeout: 10, fastTrack: true },
  })
  await using agent = await startAgent({
    ...{ name: 'node-1', mac: NODE.mac, device: disk, apiUrl: ironic.url },
    directory: join(folder, 'agent'),
    options: { hardware_managers: managers },
  })
  const node = () => ironic.nodes.get(NODE.uuid)
  await expect.poll(() => node()?.agentVerifyCa, { timeout: 120_000 }).toBe(cert)
  const socket = connect({ port: agent.port, host: '127.0.0.1', ca: authority.ca })
  await once(socket, 'secureConnect')
  const shown = socket.getPeerX509Certificate()?.fingerprint256
  socket.destroy()
  expect(shown).toBe(new X509Certificate(cert).fingerprint256)
})

test('the agent offers its steps, names its version, and tells of the others in its status', async () => {
  const disk = join(folder, 'disk')
  await writeFile(disk, new Uint8Array(1024 * 1024))
  await using ironic = await createFakeIronic({
    nodes: [NODE],
    heartbeatTimeout: 10,
    fastTrack: true,
  })
  await using agent = await startAgent({
    name: 'node-1',
    mac: NODE.mac,
    device: disk,
    apiUrl: ironic.url,
    directory: join(folder, 'agent'),
    options: { hardware_managers: managers, enable_auto_tls: false },
  })
  const beats = () => ironic.apiCalls.filter(({ path }) => path.includes('/heartbeat/'))
  await expect.poll(() => beats().length, { timeout: 120_000 }).toBeGreaterThan(0)
  const base = `http://127.0.0.1:${agent.port}`
  const status = await fetch(`${base}/v1/status`).then((answer) => answer.json())
  expect(status).toMatchObject({
    left_out_hardware_managers: [
      { manager: 'broken.ts', reason: expect.stringContaining('no licence') },
    ],
  })
})
