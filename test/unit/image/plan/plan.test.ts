import { createHash } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { endOf, type ImageReader } from '../../../../agent/core/extent.ts'
import { snakeCase } from '../../../../agent/core/json.ts'
import { GiB, MiB } from '../../../../agent/core/units.ts'
import { mapArriving } from '../../../../agent/image/formats/qcow2/arriving/map-arriving.ts'
import { createClusterMapMaker } from '../../../../agent/image/formats/qcow2/straight/cluster-map.ts'
import { describePlan, planDocument } from '../../../../agent/image/plan/describe.ts'
import {
  fileLayout,
  holdBackRanges,
  type ImageFacts,
  planImage,
} from '../../../../agent/image/plan/plan.ts'
import { parseImageInfo } from '../../../../agent/image/request/image-info.ts'
import {
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
} from '../../../../agent/sources/swarm/torrent/metainfo.ts'
import { buildQcow2, compressedEntry, DATA_AT } from '../../../support/formats/qcow2-builder.ts'

const HASH = { algo: 'sha256', value: 'ab'.repeat(32) }
const DISK = {
  path: '/dev/sdx',
  sizeBytes: GiB,
  logicalSectorBytes: 512,
  physicalSectorBytes: 4096,
  isBlockDevice: true,
}

function image(fields: Record<string, unknown> = {}) {
  return parseImageInfo(
    {
      id: 'img',
      urls: ['http://u:secret@origin/img?temp_url_sig=abc'],
      disk_format: 'raw',
      checksum: HASH.value,
      ...fields,
    },
    { md5_enabled: false, swarm_mode: 'auto', glance_url: null },
    'http or file',
  )
}

function torrentOf(lengthBytes: number) {
  const pieces = createHash('sha1').update('x').digest()
  const info = encodeInfo({ name: 'img', lengthBytes, pieceLength: MiB, pieces })
  return parseMetainfo(encodeMetainfo(info))
}

const FACTS: ImageFacts = {
  hash: HASH,
  sizeBytes: MiB,
  serverBytes: MiB,
  metainfo: null,
  firstBytes: null,
  packedBeginning: null,
  clusters: null,
  warnings: [],
}

function plan(
  facts: Partial<ImageFacts> = {},
  fields: Record<string, unknown> = {},
  mode: 'auto' | 'off' | 'require' = 'auto',
  disk: Partial<typeof DISK> = {},
) {
  return planImage(
    image(fields),
    { ...FACTS, ...facts },
    { ...DISK, ...disk },
    {
      config: {
        swarm_mode: mode,
        permitted_image_formats: ['raw', 'gpt', 'qcow2'],
      },
      hasConfigdrive: true,
      layoutRequest: null,
    },
  )
}

describe('a plan', () => {
  test('without a torrent is HTTP alone', () => {
    expect(plan().sources.map(({ name }) => name)).toEqual(['http'])
  })

  test.each([
    ['auto', ['swarm', 'http']],
    ['require', ['swarm']],
    ['off', ['http']],
  ] as const)('with a torrent and swarm_mode %s has the sources %s', (mode, names) => {
    const { sources } = plan({ metainfo: torrentOf(MiB) }, {}, mode)
    expect(sources.map(({ name }) => name)).toEqual(names)
  })

  test('gives each source what it needs', () => {
    const metainfo = torrentOf(MiB)
    const urls = ['http://u:secret@origin/img?temp_url_sig=abc']
    const torrent = { info: { urls: ['http://t/x.torrent'] }, trackers: ['http://sent:1/announce'] }
    expect(plan({ metainfo }, { torrent }).sources).toEqual([
      {
        name: 'swarm',
        metainfo,
        trackers: [['http://sent:1/announce']],
        urls,
      },
      { name: 'http', urls },
    ])
    const file = plan({}, { urls: ['file:///img.raw'] }).sources
    expect(file).toEqual([{ name: 'file', url: 'file:///img.raw' }])
  })

  test('has the whole disk as its window', () => {
    expect(plan().target).toEqual({ disk: DISK, window: { offset: 0, length: GiB }, layout: null })
  })

  test('goes on without a torrent of another length, unless the swarm is required', () => {
    const facts = { serverBytes: MiB, metainfo: torrentOf(MiB - 1) }
    expect(plan(facts)).toMatchObject({
      sources: [{ name: 'http' }],
      warnings: [expect.stringMatching(/1048575 bytes, the server has 1048576/)],
    })
    expect(() => plan(facts, {}, 'require')).toThrow(/InvalidMetainfo|torrent/)
  })

  test('is refused where it cannot end well', () => {
    expect(() => plan({ sizeBytes: GiB + 1 })).toThrow(/1073741825 bytes, \/dev\/sdx only/)
    expect(() => plan({ sizeBytes: 0 })).toThrow(/empty/)
    expect(() => plan({}, { disk_format: 'qed' })).toThrow(
      /disk_format is qed, .*: raw, gpt, iso, qcow2/,
    )
    expect(() => plan({}, { disk_format: 'zstd' })).toThrow(
      /disk_format is zstd, .*unpacked to: raw/,
    )
    expect(() => plan({}, {}, 'require')).toThrow(/no usable torrent/)
  })

  test('looks at the first bytes whatever disk_format says', () => {
    const firstBytes = Buffer.from('KDMV', 'latin1')
    const disk = Buffer.alloc(1024)
    disk.set([0x55, 0xaa], 510)
    for (const disk_format of [null, 'unknown', 'raw', 'gpt']) {
      expect(() => plan({ firstBytes }, { disk_format })).toThrow(
        /the (?:image is vmdk|vmdk image is not written)/,
      )
      expect(plan({ firstBytes: disk }, { disk_format }).isFormatOpen).toBe(false)
      expect(plan({}, { disk_format }).isFormatOpen).toBe(true)
    }
    expect(plan({ firstBytes: disk }, { disk_format: null }).format).toBe('raw')
    expect(plan({}, { disk_format: 'gpt' }).format).toBe('gpt')
  })

  test('of an ISO image needs permission, named or not', () => {
    expect(() => plan({}, { disk_format: 'iso' })).toThrow(/permitted_image_formats/)
  })

  test('as text names image, target, hash, sources and steps, and no secret', () => {
    const text = describePlan(plan({ metainfo: torrentOf(MiB) })).join('\n')
    for (const fact of ['img', '/dev/sdx', HASH.value, 'swarm', 'http', 'config drive']) {
      expect(text).toContain(fact)
    }
    expect(text).not.toMatch(/secret|=abc/)
  })

  test('as JSON has the facts of the text, no secret and no hashes of pieces', () => {
    const document = planDocument(plan({ metainfo: torrentOf(MiB) }))
    expect(document).toMatchObject({
      image_id: 'img',
      target: snakeCase(DISK),
      size_bytes: MiB,
      limit_bytes: MiB,
      format: 'raw',
      is_format_open: true,
      hash: HASH,
      sources: [
        { name: 'swarm', detail: expect.stringContaining('1 pieces of 1.0 MiB, web seeds http') },
        { name: 'http', detail: expect.stringContaining('@origin/img') },
      ],
      hold_back: [{ offset: 0, length: MiB }],
      has_configdrive: true,
      steps: expect.arrayContaining([expect.stringMatching(/^open \/dev\/sdx/)]),
      warnings: [],
    })
    expect(JSON.stringify(document)).not.toMatch(/secret|=abc|metainfo/)
  })
})

/** A qcow2 of a disk of 8 clusters of 64 KiB, of which two are there, in turns; its tables take three. */
function qcow2Facts(beginning: Uint8Array = bootSector()): Partial<ImageFacts> {
  const fileBytes = 5 * 65_536
  const maker = createClusterMapMaker({ fileBytes, virtualBytes: 8 * 65_536 })
  maker.add({ host: 4 * 65_536, guest: 0, length: 65_536 })
  maker.add({ host: 3 * 65_536, guest: 5 * 65_536, length: 65_536 })
  const map = maker.finish()
  if ('why' in map) throw new Error(map.why)
  const sizes = { sizeBytes: fileBytes, serverBytes: fileBytes }
  return { ...sizes, firstBytes: buildQcow2(), clusters: { map, arriving: null, beginning } }
}

/** One of which the first cluster is compressed, the others are zero. */
async function packedFacts(
  cluster = bootSector(),
): Promise<Partial<ImageFacts> & { sizeBytes: number }> {
  const data = deflateRawSync(cluster, { windowBits: 12 })
  const file = buildQcow2({ l2: [compressedEntry(DATA_AT, 1)], data })
  const read: ImageReader = async ({ offset, length }) => file.subarray(offset, offset + length)
  const { signal } = new AbortController()
  const arriving = await mapArriving({ read, fileBytes: file.length, signal })
  if ('why' in arriving) throw new Error(arriving.why)
  const sizes = { sizeBytes: file.length, serverBytes: file.length }
  return { ...sizes, firstBytes: file, clusters: { arriving, beginning: cluster } }
}

function bootSector(): Uint8Array {
  const bytes = new Uint8Array(65_536)
  bytes.set([0x55, 0xaa], 510)
  return bytes
}

describe('a plan of a qcow2', () => {
  const fields = { disk_format: 'qcow2' }

  test('whose clusters are known puts each in its place, and the rest of the file on the tail', () => {
    const planned = plan(qcow2Facts(), fields)
    expect(planned).toMatchObject({ unpacking: null, isFormatOpen: false })
    const { rest } = planned.clusters ?? {}
    // 66 MiB for a config drive and the backup GPT are left free
    expect(rest).toEqual({ offset: GiB - 67 * MiB, length: 3 * 65_536 })
    const layout = fileLayout(planned, null)
    expect(layout.area).toEqual({ offset: 0, length: 8 * 65_536 })
    expect(layout.locate({ offset: 0, length: 5 * 65_536 })).toEqual([
      rest,
      { offset: 5 * 65_536, length: 65_536 },
      { offset: 0, length: 65_536 },
    ])
    expect(planned.holdBack).toEqual([{ offset: 0, length: 8 * 65_536 }])
  })

  test('says so in words, and as JSON without the places of the clusters', () => {
    const planned = plan(qcow2Facts(), fields)
    const text = describePlan(planned).join('\n')
    expect(text).toMatch(
      /clusters straight to their places from byte 0 on.*the rest of the file to/,
    )
    expect(text).toContain('read the zeros back')
    expect(planDocument(planned)).toMatchObject({
      unpacking: null,
      clusters: { virtual_bytes: 8 * 65_536, run_count: 2, rest: { length: 3 * 65_536 } },
    })
  })

  test('keeps the file where clusters share a sector: what was read back is not written again', () => {
    const known = qcow2Facts()
    const maker = createClusterMapMaker({ fileBytes: 5 * 65_536, virtualBytes: 8 * 65_536 })
    maker.add({ host: 65_536, guest: 2048, length: 4096 })
    const map = maker.finish()
    if ('why' in map) throw new Error(map.why)
    const facts = { ...known, clusters: { map, arriving: null, beginning: bootSector() } }
    expect(plan(facts, fields).clusters).not.toBeNull()
    const on4Kn = plan(facts, fields, 'auto', { logicalSectorBytes: 4096 })
    expect(on4Kn).toMatchObject({
      clusters: null,
      unpacking: { why: 'some begin or end within a sector of the disk, 4096 bytes' },
    })
  })

  test('with compressed clusters is unpacked as it comes, and shown without the places of the clusters', async () => {
    const planned = plan(await packedFacts(), fields)
    expect(planned).toMatchObject({
      clusters: null,
      unpacking: { format: 'qcow2', kept: null, leastBytes: 8 * 65_536 },
    })
    expect(describePlan(planned).join('\n')).toContain(
      'fetch from http and unpack the qcow2 to bytes 0–',
    )
    const document = planDocument(planned)
    expect(document).toMatchObject({ unpacking: { cluster_count: 1 } })
    expect(JSON.stringify(document).length).toBeLessThan(4096)
  })

  test('with compressed clusters is kept where others are served from it, and refused where that has no room', async () => {
    const known = await packedFacts()
    const facts = { ...known, metainfo: torrentOf(known.sizeBytes) }
    const planned = plan(facts, fields)
    expect(planned.unpacking?.kept).not.toBeNull()
    expect(describePlan(planned).join('\n')).toContain('others are served from it')
    const small = { sizeBytes: MiB }
    const alone = plan(facts, fields, 'auto', small)
    expect(alone).toMatchObject({ unpacking: { kept: null }, sources: [{ name: 'http' }] })
    expect(alone.warnings.join()).toContain('no swarm, the image is unpacked in its order')
    expect(() => plan(facts, fields, 'require', small)).toThrow(/has room for/)
  })

  test('with compressed clusters is refused where its disk has no partition table', async () => {
    const facts = await packedFacts(new Uint8Array(65_536))
    expect(() => plan(facts, fields)).toThrow(/no partition table/)
  })

  test.each([
    ['it has compressed clusters', { clusters: { why: 'it has compressed clusters' } }],
    ['no server could be asked for its tables', { clusters: null, firstBytes: null }],
  ])('keeps the file where %s, and says so', (why, facts) => {
    const planned = plan({ ...qcow2Facts(), ...facts }, fields)
    expect(planned).toMatchObject({ clusters: null, unpacking: { format: 'qcow2', why } })
    expect(describePlan(planned).join('\n')).toContain(
      `kept      the clusters of the qcow2 cannot go straight to their places: ${why}`,
    )
  })

  test('is unpacked in its order where the disk has no room for the rest of the file, and refused where it cannot be', async () => {
    const known = qcow2Facts()
    const { clusters } = await packedFacts()
    const arriving = clusters && 'arriving' in clusters ? clusters.arriving : null
    const facts = { ...known, clusters: { ...known.clusters, arriving } } as Partial<ImageFacts>
    const tight = { sizeBytes: 8 * 65_536 }
    expect(plan(facts, fields).unpacking).toBeNull()
    expect(plan(facts, fields, 'auto', tight)).toMatchObject({
      clusters: null,
      unpacking: { format: 'qcow2', kept: null },
      warnings: [],
    })
    expect(() => plan(known, fields, 'auto', tight)).toThrow(
      /what of the file is no part of its disk \d+ bytes behind it.*has room for 524288/,
    )
    const swarm = { ...facts, metainfo: torrentOf(5 * 65_536) }
    expect(plan(swarm, fields, 'auto', tight).warnings.join()).toContain('no swarm')
    expect(() => plan(swarm, fields, 'require', tight)).toThrow(/has room for 524288/)
  })

  test('is refused where its disk has no partition table', () => {
    expect(() => plan(qcow2Facts(new Uint8Array(65_536)), fields)).toThrow(/no partition table/)
  })
})

const wholeOf = (length: number) => ({ offset: 0, length })

describe('what is held back', () => {
  test('is the first MiB, and the last one of an image as large as the disk', () => {
    expect(holdBackRanges(wholeOf(GiB), DISK)).toEqual([
      { offset: 0, length: MiB },
      { offset: GiB - MiB, length: MiB },
    ])
    expect(holdBackRanges(wholeOf(GiB - MiB), DISK)).toHaveLength(1)
    expect(holdBackRanges(wholeOf(GiB - MiB + 1), DISK)).toHaveLength(2)
  })

  test('is the whole of a tiny image', () => {
    expect(holdBackRanges(wholeOf(1000), DISK)).toEqual([{ offset: 0, length: 1000 }])
  })

  test('covers every boot-relevant byte of any image on any disk, and nothing outside of the image', () => {
    const sizes = fc.tuple(
      fc.integer({ min: 1, max: 4 * MiB }),
      fc.integer({ min: 1, max: 8192 }),
      fc.constantFrom(512, 4096),
    )
    fc.assert(
      fc.property(sizes, ([imageBytes, sectors, logicalSectorBytes]) => {
        const sizeBytes = sectors * logicalSectorBytes
        fc.pre(imageBytes <= sizeBytes)
        const ranges = holdBackRanges(wholeOf(imageBytes), {
          ...DISK,
          sizeBytes,
          logicalSectorBytes,
        })
        const held = (at: number) => ranges.some((r) => r.offset <= at && at < endOf(r))
        const tail = sizeBytes - MiB
        for (const at of [0, MiB - 1, MiB, tail - 1, tail, sizeBytes - 1, imageBytes - 1]) {
          if (at < 0) continue
          expect(held(at)).toBe(at < imageBytes && (at < MiB || at >= tail))
        }
        expect(ranges.every((r, i) => i === 0 || r.offset >= endOf(ranges[i - 1] ?? r))).toBe(true)
      }),
    )
  })
})
