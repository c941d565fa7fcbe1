import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { endOf } from '../../../../agent/core/extent.ts'
import { GiB, KiB, MiB } from '../../../../agent/core/units.ts'
import {
  type DiskLayout,
  type LayoutRequest,
  layOut,
} from '../../../../agent/disk/partitioning/disk-layout.ts'

const REQUEST: LayoutRequest = {
  bootMode: 'bios',
  diskLabel: null,
  isPpc64: false,
  rootMib: 1024,
  swapMib: 0,
  ephemeralMib: 0,
  ephemeralFormat: 'ext4',
  preservesEphemeral: false,
  configdriveMib: 0,
}
const ALL = { swapMib: 512, ephemeralMib: 2048, configdriveMib: 1 }

function diskOf(sizeBytes: number, logicalSectorBytes: 512 | 4096 = 512) {
  return {
    path: '/dev/sdx',
    sizeBytes,
    logicalSectorBytes,
    physicalSectorBytes: 4096,
    isBlockDevice: true,
  }
}

function layout(request: Partial<LayoutRequest> = {}, sizeBytes = 10 * GiB): DiskLayout {
  return layOut({ ...REQUEST, ...request }, diskOf(sizeBytes))
}

function rowsOf({ partitions }: DiskLayout) {
  return partitions.map(({ kind, range }) => [kind, range.offset / MiB, range.length / MiB])
}

describe('the layout for a partition image', () => {
  test.each<[string, Partial<LayoutRequest>, 'gpt' | 'msdos', unknown[]]>([
    ['BIOS', {}, 'msdos', [['root', 1, 1024]]],
    [
      'BIOS with everything',
      ALL,
      'msdos',
      [
        ['ephemeral', 1, 2048],
        ['swap', 2049, 512],
        ['configdrive', 2561, 1],
        ['root', 2562, 1024],
      ],
    ],
    [
      'BIOS and GPT',
      { ...ALL, diskLabel: 'gpt' },
      'gpt',
      [
        ['bios-boot', 1, 1],
        ['ephemeral', 2, 2048],
        ['swap', 2050, 512],
        ['configdrive', 2562, 1],
        ['root', 2563, 1024],
      ],
    ],
    [
      'UEFI, which has a GPT whatever label is named',
      { ...ALL, bootMode: 'uefi', diskLabel: 'msdos' },
      'gpt',
      [
        ['esp', 1, 550],
        ['ephemeral', 551, 2048],
        ['swap', 2599, 512],
        ['configdrive', 3111, 1],
        ['root', 3112, 1024],
      ],
    ],
    [
      'ppc64',
      { isPpc64: true, swapMib: 512 },
      'msdos',
      [
        ['prep', 1, 8],
        ['swap', 9, 512],
        ['root', 521, 1024],
      ],
    ],
    [
      'ppc64 and GPT',
      { isPpc64: true, diskLabel: 'gpt' },
      'gpt',
      [
        ['prep', 1, 8],
        ['root', 9, 1024],
      ],
    ],
  ])('is, for %s', (_, request, label, rows) => {
    const found = layout(request)
    expect(found.label).toBe(label)
    expect(rowsOf(found)).toEqual(rows)
    expect(found.root).toBe(found.partitions.at(-1))
  })

  test('marks the root partition of an MBR as the one that boots, but not for Open Firmware', () => {
    const active = (found: DiskLayout) =>
      found.partitions.filter(({ isActive }) => isActive).map(({ kind }) => kind)
    expect(active(layout(ALL))).toEqual(['root'])
    expect(active(layout({ ...ALL, diskLabel: 'gpt' }))).toEqual([])
    expect(active(layout({ isPpc64: true }))).toEqual([])
  })

  test('ends within the disk, or is refused with the numbers', () => {
    const gptEnd = (1 + 1 + 1024) * MiB + 16 * KiB + 512
    expect(layout({ diskLabel: 'gpt' }, gptEnd).root.range.length).toBe(1024 * MiB)
    expect(() => layout({ diskLabel: 'gpt' }, gptEnd - 512)).toThrow(
      /first 1026 MiB of the disk \(bios-boot 1, root 1024, from 1 MiB on\).*backup.*\/dev\/sdx has 1026 MiB/,
    )
    expect(layout({}, 1025 * MiB).root.range.length).toBe(1024 * MiB)
    expect(() => layout({}, 1025 * MiB - 512)).toThrow(
      /first 1025 MiB .*\/dev\/sdx has 1024 MiB.*root_gb/,
    )
  })

  test('of five partitions in an MBR is refused', () => {
    expect(() => layout({ ...ALL, isPpc64: true })).toThrow(
      /holds 4 partitions, but 5 .*prep, ephemeral, swap, configdrive, root.*disk_label:gpt/,
    )
  })

  test('beyond 2 TiB is refused in an MBR of 512-byte sectors, and not in a GPT or on a 4Kn disk', () => {
    const request = { ...REQUEST, rootMib: 2 * 1024 * 1024 }
    const large = 4096 * GiB
    expect(() => layOut(request, diskOf(large))).toThrow(
      /partition 1 \(root\) would end at 2097153 MiB, an MBR on \/dev\/sdx reaches 2097152 MiB/,
    )
    expect(layOut({ ...request, rootMib: request.rootMib - 1 }, diskOf(large)).label).toBe('msdos')
    expect(layOut({ ...request, diskLabel: 'gpt' }, diskOf(large)).label).toBe('gpt')
    expect(layOut(request, diskOf(large, 4096)).label).toBe('msdos')
  })

  test('without an ephemeral partition cannot preserve one', () => {
    expect(() => layout({ preservesEphemeral: true })).toThrow(/ephemeral_mb is 0/)
  })

  test('has whole MiB, in order, without gaps, the root last, for any sizes', () => {
    const mib = fc.integer({ min: 0, max: 5000 })
    const sizes = fc.record({
      swapMib: mib,
      ephemeralMib: mib,
      configdriveMib: fc.integer({ min: 0, max: 64 }),
      rootMib: fc.integer({ min: 1, max: 5000 }),
      bootMode: fc.constantFrom('uefi' as const, 'bios' as const),
      isPpc64: fc.boolean(),
    })
    fc.assert(
      fc.property(sizes, (request) => {
        const { partitions, root } = layout({ ...request, diskLabel: 'gpt' }, 100 * GiB)
        let at = MiB
        for (const [index, { number, range }] of partitions.entries()) {
          expect(number).toBe(index + 1)
          expect(range.offset).toBe(at)
          expect(range.length % MiB).toBe(0)
          expect(range.length).toBeGreaterThan(0)
          at = endOf(range)
        }
        expect(root.kind).toBe('root')
        expect(partitions.at(-1)).toBe(root)
      }),
    )
  })
})
