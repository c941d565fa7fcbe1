// SPDX-License-Identifier: Apache-2.0
// What md says in sysfs, as Documentation/admin-guide/md.rst has it and kernels write it: this machine may have no md.
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readSync } from '../../../../agent/disk/md/sync.ts'
import { watchArrays } from '../../../../agent/disk/md/sync-watch.ts'
import { recordedStream } from '../../../support/event-lab.ts'
import { machineWith } from '../../hardware/machine-fixture.ts'

const md = (name: string, files: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(files).map(([file, text]) => [`/sys/class/block/${name}/md/${file}`, text]),
  )
const RESYNC = {
  sync_action: 'resync\n',
  sync_completed: '4480 / 409472\n',
  sync_speed: '204800\n',
}

test.each([
  ['runs', RESYNC, { action: 'resync', done: 4480, total: 409_472, speed: 204_800 }],
  [
    'waits for another of the same disks',
    { sync_action: 'resync\n', sync_completed: 'delayed\n', sync_speed: 'none\n' },
    { action: 'resync', done: 0, total: 0, speed: 0 },
  ],
  [
    'rebuilds a member, and its kernel says no speed',
    { sync_action: 'recover\n', sync_completed: '8 / 16\n' },
    { action: 'recover', done: 8, total: 16, speed: 0 },
  ],
])('an array that %s', async (_, files, { action, done, total, speed }) => {
  await using machine = await machineWith(md('md0', files))
  expect(await readSync(machine.root, 'md0')).toEqual({
    ...{ action, doneBytes: done * 512, totalBytes: total * 512 },
    bytesPerSecond: speed * 1024,
  })
})

test.each([
  ['an array at rest', { sync_action: 'idle\n', sync_completed: 'none\n' }],
  ['one without redundancy', { array_state: 'clean\n' }],
  ['one that is frozen', { sync_action: 'frozen\n', sync_completed: '4480 / 409472\n' }],
])('%s does not sync', async (_, files) => {
  await using machine = await machineWith(md('md0', files))
  expect(await readSync(machine.root, 'md0')).toBeUndefined()
})

test('arrays that sync are told of again and again, and once that all are at rest', async () => {
  await using machine = await machineWith({
    ...md('md127', RESYNC),
    ...md('md1', { sync_action: 'idle\n' }),
    '/sys/class/block/sda/size': '8\n',
  })
  const events = recordedStream()
  using _watch = watchArrays(events, machine.root, { intervalMs: 10 })
  const syncing = () => events.snapshot().syncing
  await expect.poll(syncing, { timeout: 60_000 }).toEqual([
    {
      array: '/dev/md127',
      action: 'resync',
      figures: {
        ...{ unit: 'bytes', done: 4480 * 512, total: 409_472 * 512, percent: 1 },
        ...{ ratePerSecond: 204_800 * 1024, etaSeconds: 1 },
      },
    },
  ])
  await writeFile(machine.root.path('/sys/class/block/md127/md/sync_action'), 'idle\n')
  await expect.poll(syncing, { timeout: 60_000 }).toEqual([])
})

test('a machine without arrays says nothing of them', async () => {
  await using machine = await machineWith(md('md1', { sync_action: 'idle\n' }))
  const events = recordedStream()
  using _watch = watchArrays(events, machine.root, { intervalMs: 5 })
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(events.snapshot().lastId).toBe(0)
})
