import { expect, test } from 'vitest'
import type { Plan } from '../../../../agent/image/plan/plan.ts'
import { stagesOf } from '../../../../agent/image/plan/stages.ts'

const disk = { layout: null } as Plan['target']
const divided = { layout: { label: 'gpt' } } as Plan['target']
const kept = { kept: { offset: 0, length: 1 }, container: null } as Plan['unpacking']
const arriving = { kept: null, container: null } as Plan['unpacking']
const packed = { kept: null, container: { format: 'qcow2' } } as Plan['unpacking']
const keptPacked = { ...kept, container: { format: 'qcow2' } } as Plan['unpacking']
const again = ['unpack', 'read-back'] as const

test.each([
  ['a raw image', disk, null, false, ['fetch', 'read-back', 'commit']],
  ['one with a config drive', disk, null, true, ['fetch', 'read-back', 'configdrive', 'commit']],
  ['one unpacked as it comes', disk, arriving, false, ['fetch', 'read-back', 'commit']],
  [
    'one that is kept first',
    disk,
    kept,
    false,
    ['fetch', 'read-back', 'unpack', 'read-back', 'commit'],
  ],
  ['a container in a file', disk, packed, false, ['fetch', 'read-back', ...again, 'commit']],
  [
    'one in a file that is kept first',
    disk,
    keptPacked,
    false,
    ['fetch', 'read-back', ...again, ...again, 'commit'],
  ],
  ['a partition image', divided, null, true, ['fetch', 'read-back', 'partition', 'commit']],
] as const)('the stages of %s', (_name, target, unpacking, hasConfigdrive, stages) => {
  expect(stagesOf({ target, unpacking, hasConfigdrive })).toEqual(stages)
})
