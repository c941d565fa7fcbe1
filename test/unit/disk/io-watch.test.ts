import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createIoWatch } from '../../../agent/disk/io-watch.ts'

const READ = { type: 'BlockDeviceError', what: 'read of 5 bytes at offset 0' } as const
const WRITE = { type: 'ImageWriteError', what: 'write of 4 bytes at offset 7' } as const
const never = () => new Promise<never>(() => undefined)

describe('the watch on transfers with a disk', () => {
  test('hands results and errors through', async () => {
    const watch = createIoWatch({ path: '/dev/x', timeoutMs: 60_000 })
    expect(await watch.run(READ, async () => 5)).toBe(5)
    await expect(watch.run(READ, () => Promise.reject(new Error('EIO')))).rejects.toThrow('EIO')
    expect(watch.isHung).toBe(false)
  })

  test('lets four be under way, the others in turn, whatever becomes of those before', async () => {
    const watch = createIoWatch({ path: '/dev/x', timeoutMs: 60_000 })
    let underWay = 0
    let most = 0
    const order: number[] = []
    const works = Array.from({ length: 20 }, (_, i) =>
      watch
        .run(WRITE, async () => {
          order.push(i)
          underWay++
          most = Math.max(most, underWay)
          await delay(i % 3)
          underWay--
          if (i % 4 === 0) throw new Error('EIO')
        })
        .catch(() => undefined),
    )
    await Promise.all(works)
    expect(most).toBe(4)
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })

  test('fails what is under way and what waits once one has not returned in time, each by its own type', async () => {
    const watch = createIoWatch({ path: '/dev/x', timeoutMs: 30 })
    const outcomes = await Promise.allSettled([
      watch.run(WRITE, never),
      ...Array.from({ length: 9 }, () => watch.run(READ, never)),
    ])
    const reasons = outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason)
    expect(reasons[0]).toMatchObject({
      type: 'ImageWriteError',
      details: expect.stringMatching(
        /write of 4 bytes at offset 7 of \/dev\/x has not returned.*disk_timeout/,
      ),
    })
    for (const reason of reasons.slice(1))
      expect(reason).toMatchObject({ type: 'BlockDeviceError' })
    expect(reasons.at(-1).details).toMatch(/was not tried, for a write of 4 bytes/)
    expect(watch.isHung).toBe(true)
  })

  test('gives a device that hung no others', async () => {
    const watch = createIoWatch({ path: '/dev/x', timeoutMs: 10 })
    await expect(watch.run(WRITE, never)).rejects.toThrow(/not returned/)
    let ran = false
    const work = async () => {
      ran = true
    }
    await expect(watch.run(READ, work)).rejects.toThrow(/was not tried/)
    expect(ran).toBe(false)
  })

  test('gives each its own time: many that return make none hang', async () => {
    const watch = createIoWatch({ path: '/dev/x', timeoutMs: 2000 })
    for (let i = 0; i < 50; i++) await watch.run(WRITE, () => delay(2))
    expect(watch.isHung).toBe(false)
  })

  test('waits for ever where there is no limit', async () => {
    const watch = createIoWatch({ path: '/dev/x', timeoutMs: 0 })
    const slow = watch.run(WRITE, () => delay(100, 'done'))
    expect(await slow).toBe('done')
  })
})
