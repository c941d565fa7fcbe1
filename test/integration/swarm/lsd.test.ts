import { describe, expect, test } from 'vitest'
import { keepUntilEnd } from '../../support/resources.ts'
import { imageBytes, MiB, sha256, torrentOf, until } from './lab.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine, runOn } from './namespaces.ts'
import { createFolder, startNodeProcess, startOriginProcess } from './node-processes.ts'

const keep = keepUntilEnd()

const image = imageBytes(4 * MiB + 321)
/** 239.192.152.143 as /proc/net/igmp shows it. */
const GROUP = '8F98C0EF'

async function prepare(options: { isPrivate?: boolean } = {}) {
  const folder = keep(await createFolder())
  const { torrentFile } = await torrentOf(image, options)
  return {
    torrent: await folder.write('image.torrent', torrentFile),
    path: await folder.write('image.raw', image),
  }
}

describe.runIf(canMakeNetworks())('local service discovery', () => {
  test('with every tracker dead, nodes of one subnet share what one of them gets', async () => {
    const network = keep(createLabNetwork(2))
    const [first, second] = network.machines as [LabMachine, LabMachine]
    const { torrent, path } = await prepare()
    const { url } = keep(await startOriginProcess(first, path, MiB / 2))
    const trackers = [`http://${first.address}:1/announce`, `udp://${second.address}:1/announce`]
    const nearby = { lsd: 'auto', rack: null } as const
    const common = { torrent, trackers, nearby, mode: 'require' } as const
    const source = keep(startNodeProcess({ ...common, originUrls: [url] }, first))
    const leech = keep(startNodeProcess(common, second))
    for (const each of [source, leech]) expect((await each.done).sha256).toBe(sha256(image))
  })

  test('it works where there is only IPv6', async () => {
    const network = keep(createLabNetwork(2, { isIpv6: true }))
    const [first, second] = network.machines as [LabMachine, LabMachine]
    const { torrent, path } = await prepare()
    const nearby = { lsd: 'auto', rack: null } as const
    keep(startNodeProcess({ torrent, nearby, image: path }, first))
    const leech = keep(startNodeProcess({ torrent, nearby, mode: 'require' }, second))
    expect((await leech.done).sha256).toBe(sha256(image))
  })

  test.each([
    ['a public torrent', { isPrivate: false }, 'auto', true],
    ['a private torrent (BEP 27)', { isPrivate: true }, 'auto', false],
    ['a private torrent if the operator says so', { isPrivate: true }, 'always', true],
    ['a public torrent unless it is off', { isPrivate: false }, 'off', false],
  ] as const)('the group is joined for %s: %o %s -> %s', async (_name, kind, lsd, isJoined) => {
    const network = keep(createLabNetwork(1))
    const [machine] = network.machines as [LabMachine]
    const { torrent, path } = await prepare(kind)
    const { url } = keep(await startOriginProcess(machine, path, 64 * MiB))
    const nearby = { lsd, rack: null }
    const node = keep(startNodeProcess({ torrent, nearby, originUrls: [url] }, machine))
    await node.done
    const groups = () => runOn(machine, 'cat', '/proc/net/igmp')
    if (isJoined) await until(() => groups().includes(GROUP), 'the group')
    else expect(groups()).not.toContain(GROUP)
  })
})
