import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import {
  async_,
  standInExtensions,
  startAgent,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'
import { createFakeIronic, type FakeIronicOptions } from '../../support/fake-ironic.ts'

const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'
const IMAGE = {
  urls: ['http://127.0.0.1:1/image.raw'],
  disk_format: 'raw',
  os_hash_algo: 'sha256',
  os_hash_value: 'ab'.repeat(32),
}

/** Ironic with one node, and quick polls. */
function startIronic(options: Partial<FakeIronicOptions> = {}) {
  return createFakeIronic({ nodes: [{ uuid: UUID, mac: MAC }], pollIntervalMs: 20, ...options })
}

function namesOf(ironic: Awaited<ReturnType<typeof startIronic>>): string[] {
  return ironic.agentCalls.map(({ call }) => call.name ?? call.method)
}

describe('a deployment by the conductor', () => {
  test('goes through the call sequence of 21.4 to active, with a config drive, in UEFI mode', async () => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic()
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE, configdrive: 'H4sIAAAA' })
    await using _agent = await startAgent({
      apiUrl: ironic.url,
      mac: MAC.toUpperCase(),
      runDir: directory.path,
      extensions: standInExtensions(),
    })
    expect(await outcome).toMatchObject({
      state: 'active',
      error: null,
      contractViolated: false,
      skippedSteps: [],
      partitionUuids: { 'root uuid': '0x00000000' },
    })
    expect(namesOf(ironic).filter((name) => name !== 'GET')).toEqual([
      'deploy.get_deploy_steps',
      'deploy.execute_deploy_step',
      'standby.get_partition_uuids',
      'image.install_bootloader',
      'standby.power_off',
    ])
  })

  test.each([
    ['with a conductor that sends the token on GET', { sendTokenOnGet: true }, {}],
    ['over auto TLS, verified against agent_verify_ca', { requireTls: true }, { tls: true }],
    [
      'over auto TLS with a conductor that accepts TLS 1.3 only',
      { requireTls: true, minTlsVersion: 'TLSv1.3' as const },
      { tls: true },
    ],
    ['over IPv6 and auto TLS', { host: '::1', requireTls: true }, { tls: true, host: '::1' }],
  ])('works %s', async (_what, ironicOptions, agentOptions) => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic(ironicOptions)
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE, bootMode: 'bios' })
    await using _agent = await startAgent({
      apiUrl: ironic.url,
      mac: MAC,
      runDir: directory.path,
      extensions: standInExtensions(),
      ...agentOptions,
    })
    expect(await outcome).toMatchObject({ state: 'active', contractViolated: false })
  })

  test('that fails in the step ends with the details of the error and the log bundle', async () => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic()
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE })
    await using _agent = await startAgent({
      apiUrl: ironic.url,
      mac: MAC,
      runDir: directory.path,
      extensions: standInExtensions({
        'deploy.execute_deploy_step': async_(() => {
          throw new AgentError('ImageChecksumError', 'sha256 of the disk is ab, not cd')
        }),
      }),
    })
    const result = await outcome
    expect(result.state).toBe('deploy failed')
    expect(result.error).toContain('sha256 of the disk is ab, not cd')
    expect(result.logBundle?.toString()).toBe('logs')
  })

  test('goes on while the step runs for longer than the callback timeout', async () => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic({ callbackTimeoutMs: 2000, heartbeatTimeout: 60 })
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE, bootMode: 'bios' })
    const step = Promise.withResolvers<void>()
    await using agent = await startAgent({
      apiUrl: ironic.url,
      mac: MAC,
      runDir: directory.path,
      extensions: standInExtensions({
        'deploy.execute_deploy_step': async_(async (params) => {
          await step.promise
          return { deploy_result: null, deploy_step: params['step'] }
        }),
      }),
    })
    const node = ironic.nodes.get(UUID)
    await expect.poll(() => node?.heartbeats).toBeGreaterThan(6)
    expect(agent.runner.list().at(-1)?.command_status).toBe('RUNNING')
    step.resolve()
    expect(await outcome).toMatchObject({ state: 'active' })
  })

  test('whose agent dies in mid-write and is started again fails: the step is not taken for done', async () => {
    await using directory = await temporaryDirectory()
    await using ironic = await startIronic()
    const outcome = ironic.deploy(UUID, { imageInfo: IMAGE })
    const options = { apiUrl: ironic.url, mac: MAC, runDir: directory.path }
    const first = await startAgent({
      ...options,
      extensions: standInExtensions({
        'deploy.execute_deploy_step': async_(() => new Promise(() => undefined)),
      }),
    })
    await expect.poll(() => first.runner.list().at(-1)?.command_name).toBe('execute_deploy_step')
    const port = Number(new URL(first.callbackUrl).port)
    await first.kill()
    await using _second = await startAgent({ ...options, port, extensions: standInExtensions() })
    const result = await outcome
    expect(result).toMatchObject({ state: 'deploy failed', skippedSteps: [] })
    expect(result.error).toContain('the agent process ended while this command was running')
  })
})
