import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import type { JsonObject } from '../../../../agent/core/json.ts'
import {
  asksForSoftwareRaid,
  parseTargetConfig,
} from '../../../../agent/hardware/raid/target-config.ts'

type Entry = Record<string, unknown>

const first = (changes: Entry = {}): Entry => ({
  controller: 'software',
  raid_level: '1',
  size_gb: 100,
  ...changes,
})
const configOf = (...logical_disks: unknown[]): JsonObject => ({ logical_disks })

/** What the refusal says; fails where there is none. */
function refusalOf(config: JsonObject, kept: readonly string[] = []): string {
  try {
    parseTargetConfig(config, kept)
  } catch (error) {
    if (isAgentError(error, 'SoftwareRAIDError')) return error.details
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('a RAID configuration is a list of arrays', () => {
  test('named by their place where they have no name', () => {
    const config = configOf(first(), first({ raid_level: '0', size_gb: 'MAX' }))
    expect(parseTargetConfig(config)).toEqual([
      { size: 100, level: '1', volumeName: 'md0' },
      { size: 'MAX', level: '0', volumeName: 'md1' },
    ])
  })

  test('of which the one of size MAX comes last on the disks', () => {
    const config = configOf(first({ size_gb: 'MAX' }), first({ size_gb: '20', raid_level: '1+0' }))
    const arrays = parseTargetConfig(config)
    expect(arrays.map(({ size, level, volumeName }) => [size, level, volumeName])).toEqual([
      [20, '1+0', 'md0'],
      ['MAX', '1', 'md1'],
    ])
  })

  test('with the names, hints and flags that it gives', () => {
    const physical_disks = [{ name: '/dev/sda' }, { size: '> 100' }]
    const entry = first({ volume_name: 'root', is_root_volume: true, physical_disks })
    expect(parseTargetConfig(configOf(entry))).toMatchObject([
      { volumeName: 'root', isRootVolume: true, physicalDisks: physical_disks },
    ])
  })
})

const REFUSED: [string, JsonObject, RegExp][] = [
  ['nothing', {}, /logical_disks is missing or empty; it takes 1 or 2/],
  ['an empty list', configOf(), /missing or empty/],
  ['three arrays', configOf(first(), first(), first()), /there are 3 logical disks; 1 or 2/],
  ['no object', configOf('md0'), /\[0\] is "md0"; it must be an object/],
  [
    'another controller beside',
    configOf(first(), first({ controller: 'RAID.1' })),
    /\[1\] has controller "RAID.1"; where one logical disk has 'software', all must/,
  ],
  [
    'an unknown level',
    configOf(first(), first({ raid_level: '50' })),
    /raid_level "50"; .*1\+0, 5/,
  ],
  [
    'a level that is a number',
    configOf(first({ raid_level: 1 })),
    /raid_level 1; software RAID has/,
  ],
  ['no level', configOf(first({ raid_level: undefined })), /raid_level missing/],
  [
    'a first that is no mirror',
    configOf(first({ raid_level: '5' })),
    /\[0\] has raid_level 5; the first must/,
  ],
  ['a size of nothing', configOf(first({ size_gb: 0 })), /size_gb 0; it must be a whole number/],
  ['half a GiB', configOf(first({ size_gb: 0.5 })), /size_gb 0.5/],
  ['a size in words', configOf(first({ size_gb: 'all' })), /size_gb "all".* or MAX/],
  [
    'two MAX',
    configOf(first({ size_gb: 'MAX' }), first({ size_gb: 'MAX' })),
    /more than one .* MAX/,
  ],
  [
    'one name twice',
    configOf(first({ volume_name: 'a' }), first({ volume_name: 'a' })),
    /volume_name a; names must differ/,
  ],
  [
    'a name that another has by its place',
    configOf(first({ volume_name: 'md1' }), first()),
    /md1 is what a logical disk without volume_name is called/,
  ],
  ['a name too long', configOf(first({ volume_name: 'x'.repeat(33) })), /1 to 32 letters/],
  ['a name with a path', configOf(first({ volume_name: '../md' })), /volume_name "..\/md"/],
  [
    'a name that is an option',
    configOf(first({ volume_name: '--force' })),
    /volume_name "--force"/,
  ],
  [
    'two root volumes',
    configOf(first({ is_root_volume: true }), first({ is_root_volume: true })),
    /more than one .* is_root_volume true/,
  ],
  [
    'a flag in words',
    configOf(first({ is_root_volume: 'yes' })),
    /is_root_volume "yes"; .* true or false/,
  ],
  [
    'one disk',
    configOf(first({ physical_disks: [{ name: '/dev/sda' }] })),
    /2 or more root device hints/,
  ],
  [
    'disks by name',
    configOf(first({ physical_disks: ['/dev/sda', '/dev/sdb'] })),
    /one object a disk/,
  ],
  [
    'an unknown hint',
    configOf(first({ physical_disks: [{ colour: 'red' }, {}] })),
    /nobody understands: .*no root device hint colour/,
  ],
]

describe('a RAID configuration is refused, with what was found and what is allowed, for', () => {
  test.each(REFUSED)('%s', (_, config, words) => {
    expect(refusalOf(config)).toMatch(words)
  })

  test('everything that is wrong at once', () => {
    const config = configOf(first({ size_gb: -1, volume_name: 7 }), first({ raid_level: 'x' }))
    const words = refusalOf(config)
    for (const word of [/size_gb -1/, /volume_name 7/, /raid_level "x"/]) {
      expect(words).toMatch(word)
    }
  })

  test('arrays without names where skip_block_devices keeps some by name', () => {
    expect(refusalOf(configOf(first()), ['data'])).toMatch(/names RAID volumes \(data\), so every/)
    expect(parseTargetConfig(configOf(first({ volume_name: 'root' })), ['data'])).toHaveLength(1)
  })
})

test('a RAID configuration of any JSON is read or refused, and what is read can be made', () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('software', '1', '5', 'MAX', 20, true, null),
  )
  const keys = ['raid_level', 'size_gb', 'volume_name', 'is_root_volume', 'physical_disks']
  const entry = fc.record(Object.fromEntries(keys.map((key) => [key, value])), { requiredKeys: [] })
  const entries = fc.array(
    fc.oneof(
      value,
      fc.tuple(fc.constant(first()), entry).map(([a, b]) => ({ ...a, ...b })),
    ),
    { maxLength: 3 },
  )
  fc.assert(
    fc.property(fc.oneof(value, entries), (logical_disks) => {
      const config = { logical_disks } as JsonObject
      expect(() => asksForSoftwareRaid(config)).not.toThrow()
      const arrays = readOrRefused(config)
      expect(arrays.map(({ size }) => size).slice(0, -1)).not.toContain('MAX')
      expect(new Set(arrays.map(({ volumeName }) => volumeName)).size).toBe(arrays.length)
      for (const { volumeName } of arrays) expect(volumeName).toMatch(/^\w[\w.-]{0,31}$/)
    }),
    { numRuns: 2000 },
  )
})

/** None where it is refused; any other error fails the test. */
function readOrRefused(config: JsonObject) {
  try {
    return parseTargetConfig(config)
  } catch (error) {
    if (isAgentError(error, 'SoftwareRAIDError')) return []
    throw error
  }
}

test('software RAID is asked for if one logical disk has that controller', () => {
  expect(asksForSoftwareRaid(configOf({ controller: 'RAID.1' }, first()))).toBe(true)
  expect(asksForSoftwareRaid(configOf({ controller: 'RAID.1' }))).toBe(false)
  expect(asksForSoftwareRaid({})).toBe(false)
})
