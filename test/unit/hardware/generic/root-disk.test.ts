import { describe, expect, test } from 'vitest'
import { Overrides } from '../../../../agent/hardware/generic/overrides.ts'
import {
  createRootDiskFinder,
  rootDeviceHints,
} from '../../../../agent/hardware/generic/root-disk.ts'
import type { Disk } from '../../../../agent/hardware/inventory.ts'
import { createRootVolumes } from '../../../../agent/hardware/raid/root-volume.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { diskWith } from '../disk-fixture.ts'

const log = createLogger({ level: 'silent' })
const forever = new AbortController().signal

/** A finder whose looks see, one after the other, these lists of disks; the last one stays. */
function finderSeeing(looks: readonly (readonly Disk[])[], waitAttempts = 5) {
  let count = 0
  const finder = createRootDiskFinder({
    overrides: new Overrides(),
    listDisks: async () => looks[Math.min(count++, looks.length - 1)] ?? [],
    rootVolumes: createRootVolumes(),
    log,
    waitAttempts,
    waitDelayMs: 1,
  })
  return { finder, looked: () => count }
}

describe('root device hints of a node', () => {
  test('come from instance_info before properties', () => {
    const node = {
      instance_info: { root_device: { size: 1 } },
      properties: { root_device: { size: 2 } },
    }
    expect(rootDeviceHints(node)).toEqual({ size: 1 })
    expect(rootDeviceHints({ ...node, instance_info: {} })).toEqual({ size: 2 })
  })

  test.each([[undefined], [{}], [{ properties: null }], [{ properties: { root_device: {} } }]])(
    'are none in %j',
    (node) => {
      expect(rootDeviceHints(node)).toBeUndefined()
    },
  )

  test('that are no object are refused', () => {
    expect(() => rootDeviceHints({ properties: { root_device: 'sda' } })).toThrow(
      /must be an object/,
    )
  })
})

describe('the root disk of a node', () => {
  const disks = [diskWith({ name: '/dev/sda' }), diskWith({ name: '/dev/sdb', sizeBytes: 2 ** 40 })]

  test('is chosen by its hints', async () => {
    const { finder } = finderSeeing([disks])
    const node = { properties: { root_device: { name: '/dev/sdb' } } }
    expect((await finder.find(node)).name).toBe('/dev/sdb')
  })

  test('is not one that skip_block_devices names, even if a hint does', async () => {
    const { finder } = finderSeeing([disks])
    const skip = { skip_block_devices: [{ name: '/dev/sda' }] }
    expect((await finder.find({ properties: skip })).name).toBe('/dev/sdb')
    const node = { properties: { ...skip, root_device: { name: '/dev/sda' } } }
    await expect(finder.find(node)).rejects.toMatchObject({ type: 'DeviceNotFound' })
  })

  test('cannot be chosen with a skip list that is no list', async () => {
    const { finder } = finderSeeing([disks])
    await expect(finder.find({ properties: { skip_block_devices: 'sda' } })).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
    })
  })
})

describe('waiting for disks', () => {
  const disk = diskWith()

  test('ends with the look that finds the root disk', async () => {
    const { finder, looked } = finderSeeing([[], [], [disk], [disk]])
    expect(await finder.wait({ uuid: 'a' }, forever)).toBe(true)
    expect(looked()).toBe(3)
  })

  test('goes on while only other disks than the hinted one are there', async () => {
    const wanted = diskWith({ name: '/dev/sdb' })
    const { finder, looked } = finderSeeing([[disk], [disk, wanted]])
    const node = { uuid: 'a', properties: { root_device: { name: '/dev/sdb' } } }
    expect(await finder.wait(node, forever)).toBe(true)
    expect(looked()).toBe(2)
  })

  test('gives up after the configured number of looks', async () => {
    const { finder, looked } = finderSeeing([[]], 4)
    expect(await finder.wait({ uuid: 'a' }, forever)).toBe(false)
    expect(looked()).toBe(4)
  })

  test('does not look at all with 0 attempts', async () => {
    const { finder, looked } = finderSeeing([[]], 0)
    expect(await finder.wait({ uuid: 'a' }, forever)).toBe(false)
    expect(looked()).toBe(0)
  })

  test('happens once for a node, and again for another one', async () => {
    const { finder, looked } = finderSeeing([[disk]])
    await finder.wait({ uuid: 'a' }, forever)
    await finder.wait({ uuid: 'a' }, forever)
    expect(looked()).toBe(1)
    await finder.wait({ uuid: 'b' }, forever)
    expect(looked()).toBe(2)
  })

  test('that was cut short by its signal is taken up by the next caller', async () => {
    const { finder } = finderSeeing([[], [disk]])
    expect(await finder.wait({ uuid: 'a' }, AbortSignal.abort())).toBe(false)
    expect(await finder.wait({ uuid: 'a' }, forever)).toBe(true)
  })

  test('is not begun for hints that can never match', async () => {
    const { finder, looked } = finderSeeing([[disk]])
    const node = { uuid: 'a', properties: { root_device: { colour: 'red' } } }
    expect(await finder.wait(node, forever)).toBe(false)
    expect(looked()).toBe(1)
  })
})
