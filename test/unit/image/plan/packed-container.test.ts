import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DiskRange, endOf } from '../../../../agent/core/extent.ts'
import { GiB, MiB } from '../../../../agent/core/units.ts'
import { describePlan, planDocument } from '../../../../agent/image/plan/describe.ts'
import { type Plan, planImage } from '../../../../agent/image/plan/plan.ts'
import type { PlannedSource } from '../../../../agent/image/plan/plan-parts.ts'
import {
  type PlannedUnpacking,
  planUnpacking,
  type UnpackingFacts,
} from '../../../../agent/image/plan/unpacking.ts'
import { parseImageInfo } from '../../../../agent/image/request/image-info.ts'
import { buildQcow2 } from '../../../support/formats/qcow2-builder.ts'

const HTTP: PlannedSource = { name: 'http', urls: ['http://origin/img'] }
const SWARM = { name: 'swarm' } as PlannedSource
const QCOW2 = { format: 'qcow2', virtualBytes: 10 * MiB } as const

function unpackingOf(
  facts: Partial<UnpackingFacts>,
  { sizeBytes = 100 * MiB, hasConfigdrive = false, sources = [HTTP] as PlannedSource[] } = {},
) {
  const disk = { path: '/dev/sdx', sizeBytes, logicalSectorBytes: 512, physicalSectorBytes: 4096 }
  const window = { offset: 0, length: sizeBytes }
  const target = { disk: { ...disk, isBlockDevice: true }, window, layout: null }
  return planUnpacking(
    { imageId: 'img', target, hasConfigdrive, sources },
    {
      format: 'zstd',
      fileBytes: 3 * MiB,
      leastBytes: facts.container?.virtualBytes ?? 0,
      leastPackedBytes: 0,
      container: QCOW2,
      urls: ['http://origin/img'],
      isSwarmRequired: false,
      why: null,
      arriving: null,
      ...facts,
    },
  )
}

describe('a container that is packed in a file', () => {
  test('comes behind the image, and takes what is free there', () => {
    const { unpacking } = unpackingOf({ container: QCOW2, leastBytes: QCOW2.virtualBytes })
    expect(unpacking).toMatchObject({
      format: 'zstd',
      kept: null,
      window: { offset: 0, length: 10 * MiB },
      container: { ...QCOW2, window: { offset: 10 * MiB, length: 89 * MiB } },
    })
  })

  test('lies between the image and the file where others are served from that', () => {
    const sources = [SWARM, HTTP]
    const facts = { leastBytes: QCOW2.virtualBytes }
    expect(unpackingOf(facts, { sources }).unpacking).toMatchObject({
      window: { offset: 0, length: 10 * MiB },
      container: { window: { offset: 10 * MiB, length: 86 * MiB } },
      kept: { offset: 96 * MiB, length: 3 * MiB },
    })
  })

  test('comes by HTTP where the disk has room for it, but not for the file too', () => {
    const sources = [SWARM, HTTP]
    const facts = { leastBytes: QCOW2.virtualBytes, leastPackedBytes: 8 * MiB }
    const planned = unpackingOf(facts, { sources, sizeBytes: 20 * MiB })
    expect(planned.sources).toEqual([HTTP])
    expect(planned.warnings.join()).toContain('no swarm, the image is unpacked in its order')
    const required = { ...facts, isSwarmRequired: true }
    expect(() => unpackingOf(required, { sources, sizeBytes: 20 * MiB })).toThrow(/has room for/)
  })

  test('is refused where the disk has no room for both', () => {
    const facts = { leastBytes: QCOW2.virtualBytes, leastPackedBytes: 12 * MiB }
    expect(() => unpackingOf(facts, { sizeBytes: 20 * MiB })).toThrow(
      /takes 10.0 MiB .*, the qcow2 that is packed in its file 12582912 bytes behind it, both in whole MiB/,
    )
  })

  test('never shares a byte with image, kept file or the end of the disk', () => {
    const bytes = (most: number) => fc.integer({ min: 1, max: most })
    const request = fc.record({
      virtualBytes: bytes(60 * MiB),
      fileBytes: bytes(40 * MiB),
      leastPackedBytes: fc.oneof(fc.constant(0), bytes(40 * MiB)),
      sizeBytes: bytes(200 * MiB).map((n) => n + 2 * MiB),
      hasConfigdrive: fc.boolean(),
      isSwarm: fc.boolean(),
    })
    let planned = 0
    const check = fc.property(request, (r) => {
      const facts = { ...r, leastBytes: r.virtualBytes, container: { ...QCOW2, ...r } }
      const sources = r.isSwarm ? [SWARM, HTTP] : [HTTP]
      const unpacking = planOrNone(() => unpackingOf(facts, { ...r, sources }).unpacking)
      if (!unpacking) return
      planned++
      expectApart(unpacking, r.virtualBytes)
      expect(unpacking.container?.window.length).toBeGreaterThanOrEqual(r.leastPackedBytes)
      const spareBytes = MiB + (r.hasConfigdrive ? 65 * MiB : 0)
      expect(endOf(placesOf(unpacking).at(-1) as DiskRange)).toBeLessThanOrEqual(
        r.sizeBytes - spareBytes,
      )
    })
    fc.assert(check, { numRuns: 2000 })
    expect(planned).toBeGreaterThan(200)
  })
})

describe('the plan of such a file', () => {
  const planned = planOf(qcow2Header(10 * MiB))

  test('as text says what is in it, and each of the steps', () => {
    const text = describePlan(planned).join('\n')
    expect(text).toContain('unpacked  10.0 MiB (10485760 bytes), from a qcow2 in the zstd')
    expect(text).toContain('fetch from http and unpack the zstd to bytes 10485760–')
    expect(text).toContain('unpack the qcow2 to bytes 0–10485759, zeros written as zeros, holding')
    expect(text.match(/read what was unpacked back/g)).toHaveLength(2)
  })

  test('as JSON has its place', () => {
    expect(planDocument(planned)).toMatchObject({
      unpacking: { container: { format: 'qcow2', virtual_bytes: 10 * MiB } },
    })
  })

  test('holds back what boots of the image', () => {
    expect(planned.holdBack).toEqual([{ offset: 0, length: MiB }])
  })

  test('is refused for a disk that is larger than this one, and for what may not be deployed', () => {
    expect(() => planOf(qcow2Header(2 * GiB))).toThrow(/has 2147483648 bytes/)
    expect(() => planOf(qcow2Header(10 * MiB), ['raw'])).toThrow(/has only raw/)
    expect(() => planOf(Buffer.alloc(65_536))).toThrow(/no partition table/)
  })
})

/** In the order in which they lie on the disk. */
function placesOf({ window, container, kept }: PlannedUnpacking): DiskRange[] {
  return [window, container?.window, kept].flatMap((place) => place ?? [])
}

function expectApart(unpacking: PlannedUnpacking, virtualBytes: number): void {
  expect(unpacking.window.length).toBeGreaterThanOrEqual(virtualBytes)
  let end = 0
  for (const place of placesOf(unpacking)) {
    expect(place.length).toBeGreaterThan(0)
    expect(place.offset).toBeGreaterThanOrEqual(end)
    end = endOf(place)
  }
}

function planOrNone<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch (error) {
    expect(error).toMatchObject({ type: 'InvalidImage' })
    return undefined
  }
}

function planOf(packedBeginning: Uint8Array, permitted = ['raw', 'gpt', 'qcow2']): Plan {
  const urls = ['http://origin/img']
  const hash = { algo: 'sha256', value: 'ab'.repeat(32) }
  const known = { md5_enabled: false, swarm_mode: 'auto', glance_url: null } as const
  const fields = { id: 'img', urls, disk_format: null, checksum: hash.value }
  const disk = { path: '/dev/sdx', sizeBytes: GiB, logicalSectorBytes: 512 }
  return planImage(
    parseImageInfo(fields, known, 'http or file'),
    {
      hash,
      sizeBytes: MiB,
      serverBytes: MiB,
      metainfo: null,
      firstBytes: Buffer.from('28b52ffd00000000', 'hex'),
      packedBeginning,
      clusters: null,
      warnings: [],
    },
    { ...disk, physicalSectorBytes: 4096, isBlockDevice: true },
    {
      config: { swarm_mode: 'auto', permitted_image_formats: permitted },
      hasConfigdrive: false,
      layoutRequest: null,
    },
  )
}

/** Its header, and an L1 table for that disk. */
function qcow2Header(virtualBytes: number): Uint8Array {
  const l1Size = Math.ceil(virtualBytes / (512 * 1_048_576))
  return buildQcow2({ fields: { size: virtualBytes, l1Size } }).subarray(0, 65_536)
}
