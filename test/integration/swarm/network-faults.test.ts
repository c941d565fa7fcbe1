import { describe, expect, test } from 'vitest'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasPackages } from '../../support/packages.ts'
import { keepUntilEnd } from '../../support/resources.ts'
import { imageBytes, MiB, sha256, startTracker, torrentOf } from './lab.ts'
import { canMakeNetworks, createLabNetwork, type LabMachine, runOn } from './namespaces.ts'
import { createFolder, startNodeProcess, startOriginProcess } from './node-processes.ts'

const keep = keepUntilEnd()

const image = imageBytes(6 * MiB + 321)

async function prepare() {
  const folder = keep(await createFolder())
  const { torrentFile } = await torrentOf(image)
  return {
    torrent: await folder.write('image.torrent', torrentFile),
    path: await folder.write('image.raw', image),
  }
}

/** Drops this share of all packets that come to the machine or leave it. */
function losePackets(machine: LabMachine, percent: number): void {
  runOn(machine, 'nft', 'add table inet lossy')
  for (const hook of ['input', 'output']) {
    runOn(machine, 'nft', `add chain inet lossy ${hook} { type filter hook ${hook} priority 0; }`)
    const rule = `oif != lo iif != lo numgen random mod 100 < ${percent} counter drop`
    const side = hook === 'input' ? rule.replace('oif != lo ', '') : rule.replace('iif != lo ', '')
    runOn(machine, 'nft', `add rule inet lossy ${hook} ${side}`)
  }
}

describe.runIf(canMakeNetworks() && hasPackages('network-faults'))('a lossy network', () => {
  test('10 % packet loss on one node: it gets the image, and nobody asks the origin for more', async () => {
    const network = keep(createLabNetwork(4))
    const [first, second, third, lossy] = network.machines as [
      LabMachine,
      LabMachine,
      LabMachine,
      LabMachine,
    ]
    losePackets(lossy, 10)
    const { torrent, path } = await prepare()
    const origin = keep(await startOriginProcess(first, path, 2 * MiB))
    const settings = {
      torrent,
      originUrls: [origin.url],
      nearby: { lsd: 'always', rack: null },
    } as const
    const [unlucky, ...healthy] = [lossy, first, second, third].map((machine) =>
      keep(startNodeProcess(settings, machine)),
    )
    for (const node of healthy) expect((await node.done).sha256).toBe(sha256(image))
    expect((await unlucky?.done)?.sha256).toBe(sha256(image))
    expect(runOn(lossy, 'nft', 'list table inet lossy')).toMatch(/packets [1-9]\d* bytes/)
    // four copies would be what everybody alone takes
    expect(origin.sentBytes() / image.length).toBeLessThan(2.5)
  })
})

test('a node that is stopped holds nobody up, and goes on when it wakes', async () => {
  const { torrent } = await prepare()
  const tracker = keep(await startTracker())
  const faults = { rateBytesPerSecond: 2 * MiB }
  const origin = keep(await createHttpOrigin({ bytes: image, faults }))
  const settings = { torrent, trackers: [tracker.url], originUrls: [origin.url] }
  const [sleeper, ...others] = [0, 1, 2].map(() => keep(startNodeProcess(settings)))
  await sleeper?.half
  sleeper?.child.kill('SIGSTOP')
  // all of them, while it sleeps
  for (const node of others) expect((await node.done).sha256).toBe(sha256(image))
  sleeper?.child.kill('SIGCONT')
  expect((await sleeper?.done)?.sha256).toBe(sha256(image))
  expect(origin.bytesSent / image.length).toBeLessThan(2.2)
})
