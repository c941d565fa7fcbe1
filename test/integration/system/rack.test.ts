// An agent whose switch speaks LLDP, from its start to the swarm of a deploy.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { createTorrent } from '../../../agent/sources/swarm/torrent/create-torrent.ts'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { startAgent } from '../../support/agent-process.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { stopChild } from '../../support/processes.ts'
import { MiB } from '../swarm/lab.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine } from '../swarm/namespaces.ts'
import type { IronicSettings } from './ironic-process.ts'
import { startLldpd, startOn } from './switch.ts'

const canDeploy =
  canMakeNetworks() && hasPackages('lldp') && hasPackages('agent') && hasLoopDevices('LLDP')
const NODE = { uuid: '1be26c0b-03f2-4d2e-ae87-c02d7f33c124', mac: '52:54:00:00:00:02' }

async function startIronic(machine: LabMachine, settings: Omit<IronicSettings, 'host' | 'node'>) {
  const script = join(import.meta.dirname, 'ironic-process.ts')
  const whole: IronicSettings = { host: machine.address, node: NODE, ...settings }
  const child = startOn(machine, [process.execPath, script, JSON.stringify(whole)])
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })
  const words = lines[Symbol.asyncIterator]()
  const nextWord = async (): Promise<string> => (await words.next()).value ?? 'nothing'
  const url = await nextWord()
  return {
    url,
    outcome: nextWord(),
    [Symbol.asyncDispose]: () => stopChild(child),
  }
}

test.runIf(canDeploy)('a deploy is given the name of the switch', async () => {
  await using folder = await temporaryDirectory()
  const directory = folder.path
  const image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 16 * MiB })
  const bytes = await readFile(image.path)
  const { torrentFile } = await createTorrent({
    image: {
      name: 'image.raw',
      read: async ({ offset, length }) => bytes.subarray(offset, offset + length),
    },
    lengthBytes: bytes.length,
    pieceLength: MiB,
  })
  await using network = createLabNetwork(2)
  const [machine, server] = network.machines as [LabMachine, LabMachine]
  await using _switch = startLldpd(network.core)
  await using disk = await createLoopDevice({ sizeBytes: 24 * MiB, directory })
  await using ironic = await startIronic(server, {
    imagePath: image.path,
    metainfo: Buffer.from(torrentFile).toString('base64'),
    sha256: image.sha256,
  })
  await using agent = await startAgent({
    name: 'node',
    mac: NODE.mac,
    device: disk.path,
    apiUrl: ironic.url,
    directory: join(directory, 'agent'),
    on: machine.on,
    options: { listen_host: machine.address, advertise_host: machine.address },
  })
  const lines = async (msg: string): Promise<{ rack: string | null }[]> =>
    (await agent.log())
      .split('\n')
      .filter((line) => line.includes(`"msg":"${msg}"`))
      .map((line) => JSON.parse(line))
  expect(await ironic.outcome).toBe('active')
  const [known] = await lines('swarm: the switch names our rack')
  expect(known?.rack).toMatch(/^lldp:4:[0-9a-f]{12}$/)
  expect(await lines('swarm worker listening')).toMatchObject([{ rack: known?.rack }])
})
