import { describe, expect, test } from 'vitest'
import type { MdArray } from '../../../../agent/hardware/raid/arrays.ts'
import { missingOf } from '../../../../agent/hardware/raid/existing.ts'
import { parseTargetConfig } from '../../../../agent/hardware/raid/target-config.ts'
import { diskWith } from '../disk-fixture.ts'

const disks = ['sda', 'sdb', 'sdc'].map((name) =>
  diskWith({ name: `/dev/${name}`, serials: [`serial-${name}`] }),
)
const DATA: MdArray = {
  kname: 'md127',
  path: '/dev/md127',
  isActive: true,
  level: 'raid10',
  memberCount: 2,
  members: ['sda2', 'sdb2'],
  faulty: [],
  disks: ['sda', 'sdb'],
  name: 'data',
}
const byDisks = (...names: string[]) => ({
  physical_disks: names.map((name) => ({ serial: `serial-${name}` })),
})

function missing(array: MdArray, changes: Record<string, unknown> = {}): string[] {
  const software = { controller: 'software', size_gb: 10 }
  const wanted = parseTargetConfig({
    logical_disks: [
      { ...software, raid_level: '1', volume_name: 'root' },
      { ...software, raid_level: '1+0', volume_name: 'data', ...changes },
    ],
  })
  const left = missingOf(wanted, { arrays: [array], disks, keptNames: ['data'] })
  return left.map(({ volumeName }) => volumeName)
}

describe('an array that skip_block_devices keeps', () => {
  test.each([
    ['on all disks', {}],
    ['on the disks asked for', byDisks('sdb', 'sda')],
  ])('is not made again: %s', (_, changes) => {
    expect(missing(DATA, changes)).toEqual(['root'])
  })

  test('is not made again while a spare takes the place of a failed member', () => {
    const rebuilt = { ...DATA, members: ['sda2', 'sdb2', 'sdc2'], faulty: ['sda2'] }
    expect(missing(rebuilt)).toEqual(['root'])
  })

  test.each<[string, Partial<MdArray>, Record<string, unknown>, RegExp]>([
    [
      'is not started',
      { isActive: false, level: '', memberCount: 0, members: ['sda2'] },
      {},
      /md127 has the volume_name data .* but it is not started: of its members only sda2 are there/,
    ],
    ['has another level', {}, { raid_level: '0' }, /but it is raid10 and not raid0;/],
    ['lacks a member', { members: ['sdb2'] }, {}, /but 1 of its 2 members work: sdb2;/],
    ['has a failed member', { faulty: ['sda2'] }, {}, /but 1 of its 2 members work: sdb2;/],
    ['lies elsewhere', {}, byDisks('sdb', 'sdc'), /lies on \/dev\/sda, which no physical_disks/],
    ['lies on fewer disks', {}, byDisks('sda', 'sdb', 'sdc'), /lies on 2 disks, .* ask for 3;/],
  ])('is refused where it %s', (_, state, changes, words) => {
    const find = () => missing({ ...DATA, ...state }, changes)
    expect(find).toThrow(words)
    expect(find).toThrow(expect.objectContaining({ type: 'SoftwareRAIDError' }))
  })
})

test('without kept names every array is to be made, whatever there is', () => {
  const [wanted] = parseTargetConfig({
    logical_disks: [{ controller: 'software', size_gb: 10, raid_level: '1', volume_name: 'data' }],
  })
  const all = wanted === undefined ? [] : [wanted]
  expect(missingOf(all, { arrays: [DATA], disks, keptNames: [] })).toEqual(all)
})
