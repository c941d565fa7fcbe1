import { describe, expect, test } from 'vitest'
import { allocateAligned, createAlignedPool, isAligned } from '../../../agent/disk/aligned-pool.ts'

describe('aligned memory', () => {
  test('is told from ordinary memory, and by its offset', () => {
    const bytes = allocateAligned(8192)
    expect(isAligned(bytes)).toBe(true)
    expect(isAligned(bytes.subarray(512))).toBe(true)
    expect(isAligned(bytes.subarray(512), 4096)).toBe(false)
    expect(isAligned(bytes.subarray(511))).toBe(false)
    expect(isAligned(new Uint8Array(8192))).toBe(false)
    expect(isAligned(Buffer.alloc(8192))).toBe(false)
    const shared = new Uint8Array(new SharedArrayBuffer(8192, { maxByteLength: 8192 }))
    expect(isAligned(shared)).toBe(true)
    expect(isAligned(shared.subarray(511))).toBe(false)
    expect(isAligned(new Uint8Array(new SharedArrayBuffer(8192)))).toBe(false)
  })
})

describe('a pool of buffers', () => {
  test('lends no more than it has, and in the order of asking', async () => {
    const pool = createAlignedPool({ bufferBytes: 4096, count: 2 })
    const first = await pool.acquire()
    const second = await pool.acquire()
    expect(first.bytes.buffer).not.toBe(second.bytes.buffer)
    const order: string[] = []
    const third = pool.acquire().then((buffer) => {
      order.push('third')
      return buffer
    })
    const fourth = pool.acquire().then((buffer) => {
      order.push('fourth')
      return buffer
    })
    expect(order).toEqual([])
    second.release()
    expect((await third).bytes.buffer).toBe(second.bytes.buffer)
    expect(order).toEqual(['third'])
    first.release()
    expect((await fourth).bytes.buffer).toBe(first.bytes.buffer)
  })

  test('a buffer released twice is lent once', async () => {
    const pool = createAlignedPool({ bufferBytes: 512, count: 1 })
    const first = await pool.acquire()
    first.release()
    const second = await pool.acquire()
    first.release()
    const abort = new AbortController()
    const third = pool.acquire(abort.signal)
    abort.abort(new Error('still lent'))
    await expect(third).rejects.toThrow('still lent')
    second.release()
    expect((await pool.acquire()).bytes).toHaveLength(512)
  })

  test('who stops waiting takes no buffer with it', async () => {
    const pool = createAlignedPool({ bufferBytes: 512, count: 1 })
    const only = await pool.acquire()
    const abort = new AbortController()
    const waiting = pool.acquire(abort.signal)
    abort.abort(new Error('no longer wanted'))
    await expect(waiting).rejects.toThrow('no longer wanted')
    only.release()
    expect((await pool.acquire()).bytes.buffer).toBe(only.bytes.buffer)
    await expect(pool.acquire(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late')
  })
})
