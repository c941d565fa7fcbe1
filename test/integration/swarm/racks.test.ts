import { expect, test } from 'vitest'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, torrentOf, until } from './lab.ts'

const { node, startTracker } = keptSwarm()

const image = imageBytes(3 * MiB)
const rack = (name: string | null) => ({ nearby: { lsd: 'off', rack: name } }) as const

const laterRack = (name: string | null) => ({
  ...rack(null),
  ...(name !== null && { laterRack: Promise.resolve(name) }),
})

test.each([
  ['another rack is not asked for what the own one has', 'b', rack, 1.5 * MiB, 0, MiB / 4],
  ['the same, where the names are found out later', 'b', laterRack, 1.5 * MiB, 0, MiB / 4],
  [
    'without a name the subnet decides, and both are asked',
    null,
    rack,
    MiB / 4,
    MiB / 4,
    image.length,
  ],
] as const)('%s', async (_name, farRack, rackOf, uploadLimit, least, most) => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const common = { metainfo, trackers: [tracker.url] }
  // slow enough for the far one to get its chance
  const limits = { uploadLimit }
  const near = node({ ...common, ...havingAll(image), ...rackOf('a'), limits })
  await near.delivered
  const startFar = () => node({ ...common, ...havingAll(image), ...rackOf(farRack) })
  // who is to be asked may take long to start, and is there before; who is not comes when the near one is known
  const isAsked = least > 0
  const early = isAsked ? startFar() : undefined
  await early?.delivered
  const leech = node({ ...common, ...rackOf('a') })
  await until(() => leech.coverage.coveredBytes > 0, 'the first piece')
  const far = early ?? startFar()
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
  await until(() => leech.source.stats().peers === 2, 'the third connection')
  // the last figures come with the next pulse
  await until(
    () => near.source.stats().uploadedBytes + far.source.stats().uploadedBytes >= image.length,
    'the figures',
  )
  expect(far.source.stats().uploadedBytes).toBeGreaterThanOrEqual(least)
  expect(far.source.stats().uploadedBytes).toBeLessThan(most)
})
