// `ironswarm run` inspects its machine before it looks its node up.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type AgentProcess, startAgent } from '../../support/agent-process.ts'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'

const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c123', mac: '52:54:00:00:00:01' }
const soon = { timeout: 60_000 }

let directory: string
let ironic: FakeIronic

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-inspection-'))
  ironic = await createFakeIronic({ nodes: [NODE], apiVersion: '1.115', fastTrack: true })
  ironic.inspect(NODE.uuid)
})
afterEach(async () => {
  await ironic[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** An agent whose kernel line has these words and nothing else of Ironic. */
async function agentWith(words: string): Promise<AgentProcess> {
  const device = join(directory, 'disk')
  await writeFile(device, new Uint8Array(1024 * 1024))
  return await startAgent({
    ...{ name: 'node-1', mac: NODE.mac, device, apiUrl: ironic.url },
    directory: join(directory, 'agent'),
    kernelLine: `ipa-inspection-dhcp-wait-timeout=0 ipa-inspection-collectors=default ${words}`,
    options: { lookup_timeout: 1 },
  })
}

/** Which a processor changes from moment to moment. */
function withoutClockRate(data: unknown): unknown {
  const { inventory, ...others } = data as { inventory: { cpu: { frequency: unknown } } }
  const { frequency: _, ...cpu } = inventory.cpu
  return { ...others, inventory: { ...inventory, cpu } }
}

const paths = () => ironic.apiCalls.map(({ method, path }) => `${method} ${path.split('?')[0]}`)

test('the node that the answer names is the one it looks up', async () => {
  await using agent = await agentWith(`ipa-api-url=${ironic.url}`)
  await expect.poll(() => paths().join(), soon).toMatch(/continue_inspection.*lookup.*heartbeat/)
  const lookup = ironic.apiCalls.find(({ path }) => path.startsWith('/v1/lookup'))
  expect(lookup?.path).toContain(`node_uuid=${NODE.uuid}`)
  const posted = ironic.apiCalls.find(({ path }) => path.endsWith('continue_inspection'))
  expect(posted?.body).toMatchObject({
    inventory: { interfaces: [{ mac_address: NODE.mac }] },
    boot_interface: null,
    configuration: { collectors: ['default'] },
    error: null,
  })
  expect(agent.child.exitCode).toBeNull()
})

test('what it posts is what `ironswarm inspect` prints of the same machine', async () => {
  await using _agent = await agentWith(`ipa-api-url=${ironic.url}`)
  await expect.poll(() => paths().join(), soon).toMatch(/continue_inspection/)
  const posted = ironic.apiCalls.find(({ path }) => path.endsWith('continue_inspection'))
  const [command, ...words] = AGENT_COMMAND
  const flags = ['inspect', '--config-file', join(directory, 'agent/agent.conf')]
  const { stdout } = await promisify(execFile)(command, [...words, ...flags])
  expect(withoutClockRate(JSON.parse(stdout))).toEqual(withoutClockRate(posted?.body))
  // it posts nothing itself
  expect(paths().filter((path) => path.includes('continue_inspection'))).toHaveLength(1)
})

test('refused, it says so at the console and waits where there is no API to look the node up', async () => {
  ironic.failNext('/v1/continue', 400)
  await using agent = await agentWith(
    `ipa-inspection-callback-url=${ironic.url}/v1/continue_inspection`,
  )
  await expect.poll(() => agent.log(), soon).toMatch(/"msg":"api listening"/)
  expect(await agent.log()).toMatch(
    /^ironswarm: the inspection failed, and this machine waits: .*status 400/m,
  )
  expect(paths()).toEqual(['POST /v1/continue_inspection'])
  expect(agent.child.exitCode).toBeNull()
})

test('a lookup that fails after it repeats why it failed', async () => {
  ironic.failNext('/v1/continue', 400)
  ironic.failNext('/v1/lookup', 404, 99)
  await using agent = await agentWith(`ipa-api-url=${ironic.url}`)
  expect(await agent.exited).toBe(1)
  expect(await agent.log()).toMatch(
    /^ironswarm: LookupNodeError: .*; the inspection before it: .*status 400/m,
  )
})
