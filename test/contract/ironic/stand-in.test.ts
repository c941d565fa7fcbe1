// The stand-in must be as strict as the conductor it stands for, or tests against it prove nothing.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  async_,
  standInExtensions,
  startAgent,
  sync,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'
import { createFakeIronic, type FakeIronic } from '../../support/fake-ironic.ts'

const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'
const IMAGE = { urls: ['http://127.0.0.1:1/image.raw'] }

function startIronic() {
  return createFakeIronic({ nodes: [{ uuid: UUID, mac: MAC }], pollIntervalMs: 20 })
}

async function call(ironic: FakeIronic, path: string, version: string | null, body?: unknown) {
  const response = await fetch(ironic.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: version === null ? {} : { 'X-OpenStack-Ironic-API-Version': version },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, text, json: text === '' ? null : JSON.parse(text) }
}

const LOOKUP = `/v1/lookup?addresses=nonsense,${MAC.toUpperCase()}`

describe('lookup at the stand-in', () => {
  test('is 404 for a node that waits for nobody, 400 without a valid address, 404 below 1.22', async () => {
    await using ironic = await startIronic()
    expect((await call(ironic, LOOKUP, '1.62')).status).toBe(404)
    void ironic.deploy(UUID, { imageInfo: IMAGE })
    expect((await call(ironic, '/v1/lookup?addresses=nonsense', '1.62')).status).toBe(400)
    expect((await call(ironic, LOOKUP, null)).status).toBe(404)
    expect((await call(ironic, LOOKUP, '1.99')).status).toBe(406)
    expect((await call(ironic, LOOKUP, '1.62')).status).toBe(200)
  })

  test('hands the token out once', async () => {
    await using ironic = await startIronic()
    void ironic.deploy(UUID, { imageInfo: IMAGE })
    expect((await call(ironic, LOOKUP, '1.62')).json.config.agent_token).toMatch(/^[\w-]{43}$/)
    expect((await call(ironic, LOOKUP, '1.62')).json.config.agent_token).toBe('******')
  })
})

describe('a heartbeat at the stand-in', () => {
  const callback = { callback_url: 'http://127.0.0.1:9', agent_version: '1' }

  test.each([
    ['an unknown field', { foo: 1 }, '1.68', 'Unexpected arguments: foo'],
    ['no version', { agent_version: undefined }, '1.68', 'Field "agent_version" is required'],
    ['no token', { agent_token: undefined }, '1.68', 'Agent token is required'],
    ['a wrong token', { agent_token: 'x' }, '1.68', 'Invalid or missing agent token received.'],
    ['a certificate below 1.68', { agent_verify_ca: 'x' }, '1.67', 'agent_verify_ca'],
    ['a status message below 1.72', { agent_status_message: 'x' }, '1.71', 'agent_status_message'],
    ['a status of its own', { agent_status: 'busy' }, '1.72', 'start,end,error'],
    ['a path in callback_url', { callback_url: 'http://h:1/' }, '1.68', 'not scheme://host:port'],
  ])('with %s is 400', async (_what, change, version, text) => {
    await using ironic = await startIronic()
    void ironic.deploy(UUID, { imageInfo: IMAGE })
    const token = (await call(ironic, LOOKUP, '1.62')).json.config.agent_token
    const body = { ...callback, agent_token: token, ...change }
    const answer = await call(ironic, `/v1/heartbeat/${UUID}`, version, body)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.json.error_message).faultstring).toContain(text)
  })

  test('may not change callback_url or the certificate within a boot', async () => {
    await using ironic = await createFakeIronic({
      nodes: [{ uuid: UUID, mac: MAC }],
      fastTrack: true,
    })
    const token = (await call(ironic, LOOKUP, '1.62')).json.config.agent_token
    const beat = (change: object) =>
      call(ironic, `/v1/heartbeat/${UUID}`, '1.68', { ...callback, agent_token: token, ...change })
    expect(await beat({})).toMatchObject({ status: 202, text: '' })
    expect((await beat({ callback_url: 'http://127.0.0.1:10' })).status).toBe(400)
    expect((await beat({ agent_verify_ca: 'PEM' })).status).toBe(400)
    expect((await beat({})).status).toBe(202)
  })
})

describe("the stand-in's conductor", () => {
  test('takes a step for done when the agent comes back with an empty list, as 21.4 does', async () => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic()
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE, bootMode: 'bios' })
    const options = { apiUrl: ironic.url, mac: MAC, runDir: directory.path }
    const first = await startAgent({
      ...options,
      extensions: standInExtensions({
        'deploy.execute_deploy_step': async_(() => new Promise(() => undefined)),
      }),
    })
    await expect.poll(() => first.runner.list().at(-1)?.command_name).toBe('execute_deploy_step')
    await first.kill()
    await rm(join(directory.path, 'commands.json'))
    const port = Number(new URL(first.callbackUrl).port)
    await using _second = await startAgent({ ...options, port, extensions: standInExtensions() })
    expect(await outcome).toMatchObject({ state: 'active', skippedSteps: ['write_image'] })
  })

  test.each([
    ['steps that are a list', 'deploy.get_deploy_steps', { deploy_steps: [] }],
    [
      'a step without a priority',
      'deploy.get_deploy_steps',
      { deploy_steps: { G: [{ step: 'x', interface: 'deploy' }] }, hardware_manager_version: {} },
    ],
    ['no versions', 'deploy.get_deploy_steps', { deploy_steps: {} }],
  ])('fails a deployment whose agent answers %s', async (_what, name, result) => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic()
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE })
    await using _agent = await startAgent({
      apiUrl: ironic.url,
      mac: MAC,
      runDir: directory.path,
      extensions: standInExtensions({ [name]: sync(() => result) }),
    })
    expect(await outcome).toMatchObject({ state: 'deploy failed', contractViolated: true })
  })

  test('fails a deployment whose agent does not echo the step as it was sent', async () => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic()
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE, configdrive: 'H4sI' })
    const echo = { interface: 'deploy', step: 'write_image', args: {} }
    await using _agent = await startAgent({
      apiUrl: ironic.url,
      mac: MAC,
      runDir: directory.path,
      extensions: standInExtensions({
        'deploy.execute_deploy_step': async_(() => ({ deploy_result: null, deploy_step: echo })),
      }),
    })
    expect(await outcome).toMatchObject({ state: 'deploy failed', contractViolated: true })
  })

  test('gives up when no heartbeat comes', async () => {
    await using ironic = await createFakeIronic({
      nodes: [{ uuid: UUID, mac: MAC }],
      callbackTimeoutMs: 50,
    })
    const outcome = await ironic.deploy(UUID, { imageInfo: IMAGE })
    expect(outcome.error).toContain('Timeout reached while waiting for callback')
  })
})
