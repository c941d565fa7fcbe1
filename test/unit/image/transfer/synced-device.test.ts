import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../../../agent/disk/block-device.ts'
import { syncAlong } from '../../../../agent/image/transfer/synced-device.ts'

/** A device whose syncs end when they are told to; the order of what it is asked is kept. */
function recorded() {
  const asked: string[] = []
  const syncs: PromiseWithResolvers<void>[] = []
  const device = {
    write: async (offset: number) => void asked.push(`write ${offset}`),
    sync: () => {
      asked.push('sync')
      const sync = Promise.withResolvers<void>()
      syncs.push(sync)
      return sync.promise
    },
  } as unknown as BlockDevice
  return { synced: syncAlong(device, 10), asked, syncs }
}

describe('a device that is synced along', () => {
  test('is synced after so many bytes, one sync at a time, while writes go on', async () => {
    const { synced, asked, syncs } = recorded()
    for (let at = 0; at < 40; at += 5) await synced.write(at, new Uint8Array(5))
    expect(asked.slice(0, 4)).toEqual(['write 0', 'write 5', 'sync', 'write 10'])
    expect(asked.filter((what) => what === 'sync')).toHaveLength(1)
    syncs[0]?.resolve()
    await new Promise(setImmediate)
    await synced.write(40, new Uint8Array(1))
    expect(asked.at(-1)).toBe('sync')
  })

  test('is synced at the end after the one under way', async () => {
    const { synced, asked, syncs } = recorded()
    await synced.write(0, new Uint8Array(10))
    const ending = synced.sync()
    await new Promise(setImmediate)
    expect(asked).toEqual(['write 0', 'sync'])
    syncs[0]?.resolve()
    await new Promise(setImmediate)
    expect(asked).toEqual(['write 0', 'sync', 'sync'])
    syncs[1]?.resolve()
    await ending
  })

  test('tells of a sync that failed, at the next write and at the end', async () => {
    const { synced, asked, syncs } = recorded()
    await synced.write(0, new Uint8Array(10))
    const lost = new Error('EIO')
    syncs[0]?.reject(lost)
    await new Promise(setImmediate)
    await expect(synced.write(10, new Uint8Array(1))).rejects.toBe(lost)
    await expect(synced.sync()).rejects.toBe(lost)
    expect(asked).toEqual(['write 0', 'sync'])
  })
})
