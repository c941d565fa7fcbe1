// Replays what this agent told real Ironics: it must say the same again, to a server that answers as they did.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createIronicClient } from '../../../agent/ironic/client.ts'
import { createHeartbeater } from '../../../agent/ironic/heartbeat.ts'
import { postInspection } from '../../../agent/ironic/inspection.ts'
import { lookupNode } from '../../../agent/ironic/lookup.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { statusMessage } from '../../../agent/telemetry/status-message.ts'
import {
  clientConfig,
  fastClock,
  silentLog,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'
import { askedOf, openReplayServer, readTrace } from '../../support/ironic/traces/replay-server.ts'
import { newsOfSentence } from '../../support/ironic/traces/status-sentence.ts'
import { replayedInspection } from '../../support/machines/replay.ts'
import { VIRTUAL_MACHINE } from '../../support/machines/virtual-machine.ts'

interface NodeFields {
  readonly properties: Readonly<Record<string, unknown>>
  readonly last_error: string | null
}

const FIXTURES = join(import.meta.dirname, '../../fixtures')

describe('an inspection that was recorded from a real Ironic', () => {
  const folder = join(FIXTURES, 'inspection')

  test.each(readdirSync(folder))('%s: the same machine posts the same again', async (file) => {
    const trace = readTrace(join(folder, file))
    const recorded = trace.filter(({ dir }) => dir === 'agent->ironic')
    await using server = await openReplayServer(recorded)
    const { inspected } = await replayedInspection(VIRTUAL_MACHINE)
    const uuid = await postInspection({
      urls: [`${server.url}${recorded[0]?.path}`],
      data: inspected,
      config: clientConfig([]),
      log: silentLog,
      signal: AbortSignal.timeout(30_000),
    })
    expect(server.asked).toEqual(recorded.map(askedOf))
    expect({ uuid }).toEqual(recorded[0]?.resp)
  })

  test.each(readdirSync(folder))('%s: Ironic made properties and ports of it', async (file) => {
    const [posted, node, ports] = readTrace(join(folder, file)).map(({ resp }) => resp)
    expect(posted).toMatchObject({ uuid: expect.any(String) })
    const { properties, last_error } = node as NodeFields
    expect(last_error).toBeNull()
    const { cpu_arch, memory_mb, cpus } = properties
    expect([cpu_arch, Number(memory_mb)]).toEqual(['x86_64', 65536])
    // for which 29 has no hook
    if (file !== 'ironic-29.jsonl') expect(Number(cpus)).toBe(2)
    const addresses = (ports as { ports: { address: string }[] }).ports.map((port) => port.address)
    expect(VIRTUAL_MACHINE.links.map(({ address }) => address)).toEqual(
      expect.arrayContaining(addresses),
    )
    expect(addresses).not.toEqual([])
  })
})

describe('a conversation of this agent with a real Ironic', () => {
  const folder = join(FIXTURES, 'traces')
  const isOwn = (file: string) =>
    readTrace(join(folder, file)).some(({ headers }) => headers['user-agent'] === 'ironswarm')
  const files = readdirSync(folder).filter(isOwn)

  test.each(files)(
    '%s: lookup and heartbeats are as recorded, with their sentences',
    async (file) => {
      const recorded = readTrace(join(folder, file)).filter(({ dir }) => dir === 'agent->ironic')
      await using server = await openReplayServer(recorded)
      await using client = createIronicClient({
        config: clientConfig([server.url]),
        log: silentLog,
      })
      await using directory = await temporaryDirectory()
      const tokens = createTokenKeeper({ runDir: directory.path })
      const addresses = new URL(`http://h${recorded[1]?.path}`).searchParams.get('addresses')
      const node = await lookupNode({
        ...{ client, tokens, log: silentLog, random: Math.random, ...fastClock },
        config: { lookup_timeout: 10, lookup_interval: 1 },
        addresses: () => addresses?.split(',') ?? [],
      })
      const heartbeats = recorded.slice(2).map(({ body }) => body as Record<string, string>)
      const events = createEventStream({ now: () => 0 })
      let sent = 0
      const heartbeater = createHeartbeater({
        ...{ client, tokens, log: silentLog, random: Math.random, ...fastClock },
        nodeUuid: node.nodeUuid,
        callbackUrl: heartbeats[0]?.['callback_url'] ?? '',
        agentVersion: heartbeats[0]?.['agent_version'] ?? '',
        heartbeatTimeoutSeconds: node.heartbeatTimeoutSeconds,
        status: {
          message: () => {
            const sentence = heartbeats[sent++]?.['agent_status_message'] ?? ''
            for (const news of newsOfSentence(sentence)) events.publish(news)
            return statusMessage(events.snapshot())
          },
          isWorking: () => false,
          intervalMs: 30_000,
        },
      })
      heartbeater.start()
      for (let count = 1; count <= heartbeats.length; count++) {
        await expect.poll(() => server.asked.length).toBe(2 + count)
        if (count < heartbeats.length) heartbeater.force()
      }
      await heartbeater.stop()
      expect(server.asked).toEqual(recorded.map(askedOf))
    },
  )

  test('tells how far an image is, to 21.4, to 35 and to 39', () => {
    const progress = (file: string) =>
      readTrace(join(folder, file)).filter(({ body }) =>
        /writing the image \d/.test(
          `${(body as Record<string, string>)?.['agent_status_message']}`,
        ),
      )
    for (const release of [21, 35, 39]) {
      const told = progress(`tr-${release}-status.jsonl`)
      expect(told.length).toBeGreaterThan(1)
      expect(told.map(({ status }) => status)).toEqual(told.map(() => 202))
    }
  })
})
