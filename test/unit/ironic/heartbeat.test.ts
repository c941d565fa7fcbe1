import { describe, expect, test } from 'vitest'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createIronicClient } from '../../../agent/ironic/client.ts'
import {
  createHeartbeater,
  type HeartbeaterOptions,
  heartbeatBody,
} from '../../../agent/ironic/heartbeat.ts'
import { clientConfig, silentLog, temporaryDirectory } from '../../support/agent-in-process.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'

const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'
const CALLBACK = 'http://192.0.2.7:9999'

/** A clock that moves only when the test says so; waits end when it has passed them. */
function createClock() {
  let now = 1000
  const sleepers = new Set<{ until: number; resolve: () => void }>()
  return {
    now: () => now,
    wait: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        const sleeper = { until: now + ms, resolve }
        sleepers.add(sleeper)
        signal.addEventListener('abort', () => {
          sleepers.delete(sleeper)
          resolve()
        })
      }),
    isAsleep: () => sleepers.size > 0,
    /** When the next sleeper wakes, ms from now. */
    nextMs: () => Math.min(...[...sleepers].map(({ until }) => until)) - now,
    advance: (ms: number) => {
      now += ms
      for (const sleeper of sleepers) {
        if (sleeper.until > now) continue
        sleepers.delete(sleeper)
        sleeper.resolve()
      }
    },
  }
}

async function startHeartbeats(options: Partial<HeartbeaterOptions> = {}) {
  const directory = await temporaryDirectory()
  const ironic = await createFakeIronic({ nodes: [{ uuid: UUID, mac: MAC }], fastTrack: true })
  const client = createIronicClient({ config: clientConfig([ironic.url]), log: silentLog })
  const tokens = createTokenKeeper({ runDir: directory.path })
  const { json } = await client.lookup({ addresses: [MAC] })
  tokens.accept((json as { config: { agent_token: string } }).config.agent_token)
  const clock = createClock()
  const heartbeater = createHeartbeater({
    client,
    nodeUuid: UUID,
    callbackUrl: CALLBACK,
    tokens,
    agentVersion: '11.0.0',
    heartbeatTimeoutSeconds: 300,
    log: silentLog,
    random: () => 0.5,
    now: clock.now,
    wait: clock.wait,
    ...options,
  })
  const calls = () => ironic.apiCalls.filter(({ path }) => path.startsWith('/v1/heartbeat'))
  return {
    ironic,
    heartbeater,
    clock,
    tokens,
    calls,
    /** Until that many heartbeats went out and the loop sleeps again. */
    settled: async (count: number) => {
      await expect.poll(() => calls().length >= count && clock.isAsleep()).toBe(true)
      expect(calls()).toHaveLength(count)
    },
    [Symbol.asyncDispose]: async () => {
      await heartbeater.stop()
      await client[Symbol.asyncDispose]()
      await ironic[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

describe('heartbeats', () => {
  test('begin at once with exactly the known fields, at the highest version that is known', async () => {
    await using x = await startHeartbeats()
    x.heartbeater.start()
    await x.settled(1)
    expect(x.calls()[0]).toMatchObject({
      method: 'POST',
      path: `/v1/heartbeat/${UUID}`,
      apiVersion: '1.72',
      status: 202,
    })
    expect(x.calls()[0]?.body).toEqual({
      callback_url: CALLBACK,
      agent_version: '11.0.0',
      agent_token: x.tokens.current(),
    })
  })

  test('come again after 0.3 to 0.6 of heartbeat_timeout', async () => {
    for (const [random, share] of [
      [0, 0.3],
      [0.999999, 0.6],
    ] as const) {
      await using x = await startHeartbeats({ random: () => random })
      x.heartbeater.start()
      await x.settled(1)
      expect(x.clock.nextMs()).toBeCloseTo(share * 300_000, -2)
      x.clock.advance(x.clock.nextMs())
      await x.settled(2)
    }
  })

  test.each([404, 409, 500, 503, 200])(
    'that get %i come again after 5 to 10 s, and so on',
    async (status) => {
      await using x = await startHeartbeats()
      x.ironic.failNext('/v1/heartbeat', status, 2)
      x.heartbeater.start()
      await x.settled(1)
      expect(x.clock.nextMs()).toBe(7500)
      x.clock.advance(7500)
      await x.settled(2)
      x.clock.advance(7500)
      await x.settled(3)
      expect(x.clock.nextMs()).toBe(135_000)
    },
  )

  test('outlive an API that is gone', async () => {
    await using x = await startHeartbeats()
    await x.ironic[Symbol.asyncDispose]()
    x.heartbeater.start()
    await expect.poll(() => x.clock.isAsleep()).toBe(true)
    expect(x.clock.nextMs()).toBe(7500)
  })
})

describe('a forced heartbeat', () => {
  test('goes out as soon as 5 s have passed since the one before', async () => {
    await using x = await startHeartbeats()
    x.heartbeater.start()
    await x.settled(1)
    x.clock.advance(2000)
    x.heartbeater.force()
    await expect.poll(() => x.clock.nextMs()).toBe(3000)
    expect(x.calls()).toHaveLength(1)
    x.clock.advance(3000)
    await x.settled(2)
    expect(x.clock.nextMs()).toBe(135_000)
  })

  test('goes out at once when the last one is long ago', async () => {
    await using x = await startHeartbeats()
    x.heartbeater.start()
    await x.settled(1)
    x.clock.advance(60_000)
    x.heartbeater.force()
    await x.settled(2)
  })

  test('that fails is tried every 5 s until one is accepted', async () => {
    await using x = await startHeartbeats()
    x.heartbeater.start()
    await x.settled(1)
    x.ironic.failNext('/v1/heartbeat', 503, 2)
    x.clock.advance(10_000)
    x.heartbeater.force()
    await x.settled(2)
    expect(x.clock.nextMs()).toBe(5000)
    x.clock.advance(5000)
    await x.settled(3)
    x.clock.advance(5000)
    await x.settled(4)
    expect(x.clock.nextMs()).toBe(135_000)
  })

  test('asked for while another is under way is not forgotten', async () => {
    await using x = await startHeartbeats()
    x.ironic.events.once('api', () => x.heartbeater.force())
    x.heartbeater.start()
    await x.settled(1)
    expect(x.clock.nextMs()).toBe(5000)
  })
})

describe('stop()', () => {
  test('ends a sleeping loop and one that waits for an answer', async () => {
    await using x = await startHeartbeats()
    x.heartbeater.start()
    await x.settled(1)
    await x.heartbeater.stop()
    x.heartbeater.force()
    x.clock.advance(1_000_000)
    expect(x.calls()).toHaveLength(1)
  })

  test('of a heartbeater that never started does nothing', async () => {
    await using x = await startHeartbeats()
    await x.heartbeater.stop()
    expect(x.calls()).toHaveLength(0)
  })
})

describe('heartbeats that tell of the work', () => {
  const createWork = () => {
    const work = { isRunning: false, text: 'waiting for a command' }
    const status = {
      message: () => work.text,
      isWorking: () => work.isRunning,
      intervalMs: 30_000,
    }
    return { work, status }
  }

  test('carry the sentence of the moment, and no status', async () => {
    const { work, status } = createWork()
    await using x = await startHeartbeats({ status })
    x.heartbeater.start()
    await x.settled(1)
    work.text = 'execute_deploy_step: writing the image 10.0%'
    x.heartbeater.force()
    x.clock.advance(5000)
    await x.settled(2)
    const bodies = x.calls().map(({ body }) => body as Record<string, string>)
    expect(bodies.map(({ agent_status_message: message }) => message)).toEqual([
      'waiting for a command',
      'execute_deploy_step: writing the image 10.0%',
    ])
    expect(bodies.every((body) => !('agent_status' in body))).toBe(true)
  })

  test('come at the interval of the status while work is done, and as without it in between', async () => {
    const { work, status } = createWork()
    // 0.45 of heartbeat_timeout, 1.0 of the interval
    await using x = await startHeartbeats({ status })
    x.heartbeater.start()
    await x.settled(1)
    const pass = async (ms: number) => {
      x.clock.advance(ms)
      await expect.poll(() => x.clock.isAsleep()).toBe(true)
    }
    // it looks every 30 s whether work has begun
    expect(x.clock.nextMs()).toBe(30_000)
    await pass(30_000)
    await x.settled(1)
    work.isRunning = true
    await pass(30_000)
    await x.settled(2)
    await pass(30_000)
    await x.settled(3)
    work.isRunning = false
    for (let i = 0; i < 4; i++) await pass(30_000)
    await x.settled(3)
    await pass(15_000)
    await x.settled(4)
  })
})

describe('the body', () => {
  const parts = {
    callbackUrl: CALLBACK,
    agentVersion: '1',
    verifyCa: 'PEM',
    status: { message: () => 'x', isWorking: () => true, intervalMs: 1 },
    tokens: { current: () => 'T', verify: () => true, accept: () => 'kept' as const },
  }
  test.each([
    [31, ['callback_url']],
    [35, ['callback_url']],
    [36, ['callback_url', 'agent_version']],
    [61, ['callback_url', 'agent_version']],
    [62, ['callback_url', 'agent_version', 'agent_token']],
    [67, ['callback_url', 'agent_version', 'agent_token']],
    [68, ['callback_url', 'agent_version', 'agent_token', 'agent_verify_ca']],
    [71, ['callback_url', 'agent_version', 'agent_token', 'agent_verify_ca']],
    [
      72,
      [
        ...['callback_url', 'agent_version', 'agent_token'],
        'agent_verify_ca',
        'agent_status_message',
      ],
    ],
    [
      115,
      [
        ...['callback_url', 'agent_version', 'agent_token'],
        'agent_verify_ca',
        'agent_status_message',
      ],
    ],
  ])('at version 1.%i has the fields %j', (minor, fields) => {
    expect(Object.keys(heartbeatBody(parts, minor))).toEqual(fields)
  })
})
