// Real responders on one machine of a laboratory network, the agent or its asker on another.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { startAgent } from '../../support/agent-process.ts'
import { type Announcement, startAvahi, startIronicLib } from '../../support/mdns-responder.ts'
import { hasPackages } from '../../support/packages.ts'
import { stopChild } from '../../support/processes.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine } from '../swarm/namespaces.ts'
import type { FoundIronicSettings } from './mdns-process.ts'
import { startOn } from './switch.ts'

const run = promisify(execFile)
const canAnnounce = canMakeNetworks() && hasPackages('mdns')
const canAnnounceAsIronic = canMakeNetworks() && hasPackages('ironic')
const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c125', mac: '52:54:00:00:00:03' }
const WAIT = 240_000

const SERVICE: Announcement = {
  type: 'baremetal',
  port: 6385,
  properties: { protocol: 'http', path: '/baremetal', ipa_debug: '1' },
}

/** What the agent's own code finds there, in a process of its own. */
async function findOn(machine: LabMachine, name = 'baremetal._openstack._tcp.local') {
  const script = `
    import { findService } from '${join(import.meta.dirname, '../../../agent/system/multicast/find-service.ts')}'
    const signal = AbortSignal.timeout(120_000)
    const found = await findService({ name: '${name}', attempts: 10, interfaces: [], signal })
    console.log(JSON.stringify(found ? { ...found, properties: Object.fromEntries(found.properties) } : null))
    process.exit(0)`
  const [command, ...words] = [...machine.on, process.execPath, '--input-type=module', '-e', script]
  const { stdout } = await run(command as string, words)
  return JSON.parse(stdout)
}

describe.each([
  ['avahi', canAnnounce, (server: LabMachine) => startAvahi(server.on, [SERVICE])],
  [
    "Ironic's own library",
    canAnnounceAsIronic,
    async (server: LabMachine) => startIronicLib(server.on, server.address, [SERVICE]),
  ],
] as const)('a service that %s announces', (_by, canRun, announce) => {
  test.runIf(canRun)(
    'is found with its address, port and text',
    async () => {
      await using network = createLabNetwork(2)
      const [machine, server] = network.machines as [LabMachine, LabMachine]
      await using _responder = await announce(server)
      const found = await findOn(machine)
      expect(found).toMatchObject({ port: 6385, properties: SERVICE.properties })
      expect(found.host).toMatch(/\.local$/)
      expect(found.addresses).toContain(server.address)
    },
    WAIT,
  )
})

/** Answers every question at once: the service is on a host whose name no question can hold, and on one without a name. */
const LIAR = `
  import { createSocket } from 'node:dgram'
  const name = (labels) => Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')])), Buffer.of(0)])
  const service = name(['baremetal', '_openstack', '_tcp', 'local'])
  const srv = (labels) => {
    const data = Buffer.concat([Buffer.of(0, 0, 0, 0, 24, 241), name(labels)])
    return Buffer.concat([service, Buffer.of(0, 33, 0, 1, 0, 0, 0, 120, 0, data.length), data])
  }
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.on('message', (query, { port, address }) => {
    // other responders would take another name for their service
    if (port === 5353) return
    const records = [srv(['a.', 'b']), srv([String.fromCharCode(255).repeat(30)]), srv([])]
    const head = Buffer.from([query[0], query[1], 0x84, 0, 0, 0, 0, records.length, 0, 0, 0, 0])
    socket.send(Buffer.concat([head, ...records]), port, address)
  })
  socket.bind(5353, () => {
    socket.addMembership('224.0.0.251', process.argv[1])
    console.log('lies')
  })`

test.runIf(canAnnounce)(
  'a service is found beside one that answers with hosts that are none',
  async () => {
    await using network = createLabNetwork(3)
    const [machine, server, other] = network.machines as [LabMachine, LabMachine, LabMachine]
    const words = ['--input-type=module', '--eval', LIAR, '--', other.address]
    const liar = startOn(other, [process.execPath, ...words])
    try {
      const lines = createInterface({ input: liar.stdout as NonNullable<typeof liar.stdout> })
      expect((await lines[Symbol.asyncIterator]().next()).value).toBe('lies')
      await using _responder = await startAvahi(server.on, [SERVICE])
      expect(await findOn(machine)).toMatchObject({ port: 6385, properties: SERVICE.properties })
    } finally {
      await stopChild(liar)
    }
  },
  WAIT,
)

test.runIf(canAnnounce)(
  'an agent that is told nothing but `mdns` finds its Ironic, and heartbeats to it',
  async () => {
    await using directory = await temporaryDirectory()
    await using network = createLabNetwork(2)
    const [machine, server] = network.machines as [LabMachine, LabMachine]
    const settings: FoundIronicSettings = { host: server.address, node: NODE }
    const script = join(import.meta.dirname, 'mdns-process.ts')
    const ironic = startOn(server, [process.execPath, script, JSON.stringify(settings)])
    try {
      const lines = createInterface({ input: ironic.stdout as NonNullable<typeof ironic.stdout> })
      const words = lines[Symbol.asyncIterator]()
      const url = new URL((await words.next()).value as string)
      await using _responder = await startAvahi(server.on, [
        {
          type: 'baremetal',
          port: Number(url.port),
          properties: {
            protocol: 'http',
            ipa_ntp_server: server.address,
            ipa_insecure: 'true',
            other: 'words',
          },
        },
      ])
      await using agent = await startAgent({
        ...{ name: 'node', mac: NODE.mac, device: '/dev/null', apiUrl: '', on: machine.on },
        directory: directory.path,
        kernelLine: 'ipa-api-url=mdns ipa-use-mdns=1',
        options: { listen_host: machine.address, advertise_host: machine.address },
      })
      expect((await words.next()).value).toBe('heartbeat')
      const log = await agent.log()
      expect(log).toContain(`"url":"${url.origin}"`)
      expect(log).toContain('insecure, which is not among allowed_overrides')
      expect(log).toContain('which is no option that it could set')
    } finally {
      await stopChild(ironic)
    }
  },
  WAIT,
)
