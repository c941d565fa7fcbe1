import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { endOf, intersect } from '../../../../../agent/core/extent.ts'
import { createClusterLayout } from '../../../../../agent/image/formats/qcow2/straight/cluster-layout.ts'
import {
  type ClusterMap,
  type ClusterRun,
  createClusterMapMaker,
  filePartsOf,
  zeroRanges,
} from '../../../../../agent/image/formats/qcow2/straight/cluster-map.ts'

/** Clusters of a file, some of which are places of a guest's disk, in any order; the last one may be cut. */
const images = fc
  .record({
    clusterBytes: fc.constantFrom(512, 1024, 4096),
    /** For each cluster of the file: true for one of the guest's. */
    isData: fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
    cutBytes: fc.integer({ min: 0, max: 511 }),
    extraGuests: fc.nat({ max: 20 }),
    seed: fc.infiniteStream(fc.nat()),
  })
  .map(({ clusterBytes, isData, cutBytes, extraGuests, seed }) => {
    const hosts = isData.flatMap((data, cluster) => (data ? [cluster] : []))
    const guests = Array.from({ length: hosts.length + extraGuests }, (_, guest) => guest)
    for (let at = guests.length - 1; at > 0; at--) {
      const other = (seed.next().value as number) % (at + 1)
      ;[guests[at], guests[other]] = [guests[other] as number, guests[at] as number]
    }
    const fileBytes = isData.length * clusterBytes - cutBytes
    const runs: ClusterRun[] = hosts.map((cluster, index) => ({
      host: cluster * clusterBytes,
      guest: (guests[index] as number) * clusterBytes,
      length: Math.min(clusterBytes, fileBytes - cluster * clusterBytes),
    }))
    return { runs, fileBytes, virtualBytes: Math.max(1, guests.length) * clusterBytes }
  })

function mapOf(image: { runs: readonly ClusterRun[]; fileBytes: number; virtualBytes: number }) {
  const maker = createClusterMapMaker(image)
  for (const run of [...image.runs].sort((a, b) => a.guest - b.guest)) maker.add(run)
  const map = maker.finish()
  if ('why' in map) throw new Error(map.why)
  return map
}

/** A byte in each sector of a file, but in the last one. */
function* sectorsOf(fileBytes: number): Generator<number> {
  for (let at = 0; at + 512 < fileBytes; at += 512) yield at + (at % 511)
}

const WINDOW_AT = 4096
function layoutOf(map: ClusterMap) {
  const rest = { offset: WINDOW_AT + map.virtualBytes + 512, length: map.restBytes }
  return createClusterLayout(map, { offset: WINDOW_AT, length: map.virtualBytes }, rest)
}

describe('the layout of a qcow2', () => {
  test('gives every byte of the file one place, and its cluster the place on the disk', () => {
    fc.assert(
      fc.property(images, (image) => {
        const map = mapOf(image)
        const layout = layoutOf(map)
        const restAt = WINDOW_AT + map.virtualBytes + 512
        const seen = new Set<number>()
        // a byte of each sector stands for the others: nothing begins or ends within one but the file
        for (const at of [...sectorsOf(image.fileBytes), image.fileBytes - 1]) {
          const [part, ...others] = layout.locate({ offset: at, length: 1 })
          const place = part?.offset ?? -1
          const run = image.runs.find(({ host, length }) => at >= host && at < host + length)
          const isRight = run
            ? place === WINDOW_AT + run.guest + at - run.host
            : place >= restAt && place < restAt + map.restBytes
          if (!isRight || others.length > 0 || seen.has(place)) throw new Error(`byte ${at}`)
          seen.add(place)
        }
      }),
    )
  })

  test('places extents of any size where it finds them again', () => {
    fc.assert(
      fc.property(images, fc.nat(), fc.nat(), (image, from, size) => {
        const layout = layoutOf(mapOf(image))
        const offset = from % image.fileBytes
        const length = 1 + (size % (image.fileBytes - offset))
        const data = new Uint8Array(length).map((_, at) => (offset + at) % 251)
        const placed = layout.place({ offset, data, from: 'peers' })
        const located = layout.locate({ offset, length })
        expect(placed.map((part) => ({ offset: part.offset, length: part.data.length }))).toEqual(
          located,
        )
        expect(Buffer.concat(placed.map((part) => part.data))).toEqual(Buffer.from(data))
      }),
    )
  })

  test('leaves the SHA-1 with an extent that stays whole, and with no other', () => {
    const map = mapOf({
      runs: [{ host: 1024, guest: 0, length: 1024 }],
      fileBytes: 4096,
      virtualBytes: 2048,
    })
    const layout = layoutOf(map)
    const sha1 = new Uint8Array(20)
    const at = (offset: number, length: number) =>
      layout.place({ offset, data: new Uint8Array(length), from: 'peers', sha1 })
    expect(at(1024, 1024)).toMatchObject([{ offset: WINDOW_AT, sha1 }])
    expect(at(1024, 1025).map((part) => part.sha1)).toEqual([undefined, undefined])
  })

  test('has zeros where no cluster is, once each, and nowhere else', () => {
    fc.assert(
      fc.property(images, (image) => {
        const zeros = [...zeroRanges(mapOf(image))]
        const all = [
          ...zeros,
          ...image.runs.map(({ guest, length }) => ({ offset: guest, length })),
        ].sort((a, b) => a.offset - b.offset)
        let at = 0
        for (const range of all) {
          expect(range.offset).toBe(at)
          at = endOf(range)
        }
        expect(at).toBe(image.virtualBytes)
      }),
    )
  })

  test('finds a part of the disk in the file', () => {
    fc.assert(
      fc.property(images, fc.nat(), fc.nat(), (image, from, size) => {
        const offset = from % image.virtualBytes
        const part = { offset, length: 1 + (size % (image.virtualBytes - offset)) }
        const found = filePartsOf(mapOf(image), part)
        const expected = image.runs.flatMap(({ host, guest, length }) => {
          const shared = intersect({ offset: guest, length }, part)
          return shared ? [{ offset: host + shared.offset - guest, length: shared.length }] : []
        })
        const sum = (ranges: readonly { length: number }[]) =>
          ranges.reduce((bytes, { length }) => bytes + length, 0)
        expect(sum(found)).toBe(sum(expected))
        for (const { guest, length } of found) {
          expect(intersect({ offset: guest, length }, part)).toEqual({ offset: guest, length })
        }
      }),
    )
  })

  test('is refused where there is no room for it, or no room apart', () => {
    const map = mapOf({ runs: [], fileBytes: 1000, virtualBytes: 4096 })
    const window = { offset: 0, length: 4096 }
    const rest = { offset: 4096, length: 1000 }
    expect(() => createClusterLayout(map, { offset: 0, length: 4095 }, rest)).toThrow(RangeError)
    expect(() => createClusterLayout(map, window, { offset: 4096, length: 999 })).toThrow(
      RangeError,
    )
    expect(() => createClusterLayout(map, window, { offset: 4095, length: 1000 })).toThrow(
      RangeError,
    )
    expect(() =>
      createClusterLayout(map, window, rest).locate({ offset: 0, length: 1001 }),
    ).toThrow(RangeError)
  })
})

describe('the map of the clusters of a qcow2', () => {
  test('is none where two places share a cluster, wholly or in part', () => {
    const maker = createClusterMapMaker({ fileBytes: 8192, virtualBytes: 8192 })
    maker.add({ host: 1024, guest: 0, length: 1024 })
    maker.add({ host: 1536, guest: 4096, length: 512 })
    expect(maker.finish()).toEqual({ why: 'the cluster at byte 1536 is in two places of its disk' })
  })

  test('is none of more runs than are remembered', () => {
    const maker = createClusterMapMaker({ fileBytes: 8192, virtualBytes: 8192 }, 2)
    for (const at of [0, 1024, 2048]) maker.add({ host: at, guest: 4096 - at, length: 512 })
    expect(maker.finish()).toEqual({ why: 'its clusters lie in 3 runs, and 2 are remembered' })
  })
})
