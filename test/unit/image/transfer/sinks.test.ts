import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Coverage } from '../../../../agent/core/coverage.ts'
import { AgentError } from '../../../../agent/core/errors.ts'
import type { FileExtent, FileRange } from '../../../../agent/core/extent.ts'
import type { BlockDevice } from '../../../../agent/disk/block-device.ts'
import { createHeldBack } from '../../../../agent/disk/hold-back.ts'
import { judgeFile } from '../../../../agent/image/formats/judge-file.ts'
import { createRawLayout } from '../../../../agent/image/formats/raw.ts'
import { meter } from '../../../../agent/image/transfer/meter.ts'
import {
  checkFormat,
  holdBack,
  limit,
  place,
  writeTo,
} from '../../../../agent/image/transfer/sinks.ts'

/** A sink over memory that counts how often each byte was written. */
function memory(bytes: number) {
  const content = Buffer.alloc(bytes)
  const writes = new Uint8Array(bytes)
  const sink = {
    write: async ({ offset, data }: { offset: number; data: Uint8Array }) => {
      await null
      content.set(data, offset)
      for (let i = offset; i < offset + data.length; i++) writes[i] = (writes[i] ?? 0) + 1
    },
  }
  return { content, writes, sink }
}

function extent(offset: number, length: number, fill = 1) {
  return { offset, data: new Uint8Array(length).fill(fill), from: 'origin' as const }
}

describe('limit', () => {
  test('lets the last byte pass and refuses the one behind it', async () => {
    const { sink } = memory(10)
    const limited = limit(sink, 10, 'the image')
    await limited.write(extent(5, 5))
    await expect(limited.write(extent(5, 6))).rejects.toThrow(/up to 11 .* ends at 10/)
    await expect(limited.write(extent(-1, 1))).rejects.toMatchObject({ type: 'InvalidImage' })
  })
})

describe('meter', () => {
  const noNews = { onCovered: () => {}, onWithdrawn: () => undefined, onRewrite: () => {} }

  test('marks bytes as covered when they are down, not before', async () => {
    const coverage = new Coverage(10)
    let down = () => {}
    const slow = {
      write: () =>
        new Promise<void>((resolve) => {
          down = resolve
        }),
    }
    const writing = meter(slow, { coverage, ...noNews }).write(extent(0, 10))
    expect(coverage.coveredBytes).toBe(0)
    down()
    await writing
    expect(coverage.isComplete).toBe(true)
  })

  test('counts each byte once, for the source that brought it first', async () => {
    const seen: [number, string][] = []
    const coverage = new Coverage(10)
    const onCovered = (bytes: number, from: string) => seen.push([bytes, from])
    const metered = meter(memory(10).sink, { coverage, ...noNews, onCovered })
    await metered.write(extent(0, 4))
    await metered.write({ ...extent(2, 8), from: 'peers' })
    expect(seen).toEqual([
      [4, 'origin'],
      [6, 'peers'],
    ])
  })

  test('lets the last of overlapping extents win, and tells of every byte that is written again', async () => {
    const ranges = fc.array(fc.tuple(fc.nat(59), fc.integer({ min: 1, max: 20 }), fc.boolean()), {
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(ranges, async (list) => {
        const { content, writes, sink } = memory(80)
        const coverage = new Coverage(80)
        const rewritten = new Uint8Array(80)
        const onRewrite = ({ offset, length }: FileRange) =>
          rewritten.fill(1, offset, offset + length)
        const expected = Buffer.alloc(80)
        const stack = meter(sink, { coverage, ...noNews, onRewrite })
        for (const [i, [offset, length, isAwaited]] of list.entries()) {
          expected.fill(i + 1, offset, offset + length)
          const writing = stack.write(extent(offset, length, i + 1))
          if (isAwaited) await writing
        }
        await stack.drain()
        expect(content).toEqual(expected)
        expect(coverage.coveredBytes).toBe(expected.filter((byte) => byte > 0).length)
        for (const [at, count] of writes.entries()) if (count > 1) expect(rewritten[at]).toBe(1)
      }),
    )
  })

  test('takes back what was found wrong, and counts it and tells of it when it is written again', async () => {
    const coverage = new Coverage(10)
    const told: unknown[] = []
    const metered = meter(memory(10).sink, {
      coverage,
      onCovered: (bytes) => told.push(['covered', bytes]),
      onWithdrawn: (bytes) => told.push(['withdrawn', bytes]),
      onRewrite: ({ offset, length }) => told.push(['rewritten', offset, length]),
    })
    await metered.write(extent(0, 10))
    metered.withdraw({ offset: 4, length: 2 })
    metered.withdraw({ offset: 4, length: 2 })
    expect(coverage.missing()).toEqual([{ offset: 4, length: 2 }])
    await metered.write(extent(4, 2))
    expect(coverage.isComplete).toBe(true)
    expect(told).toEqual([
      ['covered', 10],
      ['withdrawn', 2],
      ['withdrawn', 0],
      ['rewritten', 4, 2],
      ['covered', 2],
    ])
  })

  test('remembers the failure of the disk and refuses everything after it', async () => {
    const broken = {
      write: () => Promise.reject(new AgentError('ImageWriteError', 'EIO')),
    }
    const stack = meter(broken, { coverage: new Coverage(10), ...noNews })
    await expect(stack.write(extent(0, 5))).rejects.toMatchObject({ type: 'ImageWriteError' })
    await expect(stack.write(extent(5, 5))).rejects.toMatchObject({ type: 'ImageWriteError' })
    expect(stack.failure).toMatchObject({ type: 'ImageWriteError' })
    await stack.drain()
  })
})

describe('the format check', () => {
  const judge = (permitted: string[]) => (firstBytes: Uint8Array) => {
    judgeFile(firstBytes, { disk: null, packing: null }, permitted)
  }
  const QCOW2 = Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(100 * 1024)])

  test('refuses a format that is not written before its first bytes are all on the disk, in any order', async () => {
    const cuts = fc.array(fc.nat(QCOW2.length), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(cuts, fc.boolean(), async (at, isBackwards) => {
        const { writes, sink } = memory(QCOW2.length)
        const checked = checkFormat(sink, QCOW2.length, judge(['raw']))
        const edges = [0, ...new Set(at), QCOW2.length].sort((a, b) => a - b)
        const parts = edges.slice(0, -1).map((offset, i): FileExtent => {
          return { offset, data: QCOW2.subarray(offset, edges[i + 1]), from: 'peers' }
        })
        const writeAll = async () => {
          for (const part of isBackwards ? parts.reverse() : parts) await checked.write(part)
        }
        await expect(writeAll()).rejects.toMatchObject({ type: 'InvalidImage' })
        expect(writes.subarray(0, 64 * 1024).includes(0)).toBe(true)
      }),
      { numRuns: 20 },
    )
  })

  test('lets a raw image pass, and one shorter than what is looked at', async () => {
    const { content, sink } = memory(3000)
    const image = Buffer.alloc(3000, 1)
    image.set([0x55, 0xaa], 510)
    const part = (offset: number, length: number): FileExtent => ({
      offset,
      data: image.subarray(offset, offset + length),
      from: 'peers',
    })
    const checked = checkFormat(sink, 3000, judge(['raw']))
    await checked.write(part(1000, 2000))
    await checked.write(part(0, 1000))
    expect(content).toEqual(image)
    await expect(
      checkFormat(sink, 3000, judge(['iso'])).write(part(0, 3000)),
    ).rejects.toMatchObject({ type: 'InvalidImage' })
  })
})

describe('place', () => {
  test('puts the bytes of the file where the layout says, SHA-1 and all', async () => {
    const { content, sink } = memory(100)
    const seen: unknown[] = []
    const watched = {
      write: async (part: Parameters<typeof sink.write>[0]) => {
        seen.push(part)
        await sink.write(part)
      },
    }
    const layout = createRawLayout(20, { offset: 50, length: 40 })
    const sha1 = new Uint8Array(20)
    await place(watched, layout).write({ ...extent(5, 10), sha1 })
    expect(seen).toMatchObject([{ offset: 55, from: 'origin', sha1 }])
    expect(content.subarray(55, 65)).toEqual(Buffer.alloc(10, 1))
  })
})

describe('hold-back', () => {
  test('keeps the held ranges off the disk and gives every byte back, for any cut of the image', async () => {
    const cuts = fc.array(fc.nat(99), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        const image = Buffer.from(Array.from({ length: 100 }, (_, i) => i + 1))
        const ranges = [
          { offset: 0, length: 20 },
          { offset: 90, length: 10 },
        ]
        const held = createHeldBack(ranges)
        const { content, sink } = memory(100)
        const stack = holdBack(sink, held)
        const edges = [0, ...new Set(at), 100].sort((a, b) => a - b)
        for (const [i, start] of edges.slice(0, -1).entries()) {
          const end = edges[i + 1] ?? 100
          await stack.write({ offset: start, data: image.subarray(start, end), from: 'peers' })
        }
        expect(content.subarray(0, 20)).toEqual(Buffer.alloc(20))
        expect(content.subarray(20, 90)).toEqual(image.subarray(20, 90))
        expect(content.subarray(90)).toEqual(Buffer.alloc(10))
        held.overlay(0, content)
        expect(content).toEqual(image)
        const middle = Buffer.alloc(30)
        held.overlay(10, middle)
        expect(middle.subarray(0, 10)).toEqual(image.subarray(10, 20))
      }),
    )
  })

  test('passes the SHA-1 of an extent on with the whole of it only', () => {
    const held = createHeldBack([{ offset: 0, length: 20 }])
    const sha1 = new Uint8Array(20)
    const take = (offset: number) => held.take({ ...extent(offset, 30), sha1 })
    expect(take(30).map((part) => part.sha1)).toEqual([sha1])
    expect(take(10).map((part) => part.sha1)).toEqual([undefined])
  })
})

describe('write', () => {
  test('says which bytes of which disk failed', async () => {
    const device = {
      geometry: { path: '/dev/sdx' },
      write: () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })),
    } as unknown as BlockDevice
    await expect(writeTo(device).write(extent(4096, 512))).rejects.toMatchObject({
      type: 'ImageWriteError',
      details: '/dev/sdx bytes 4096–4607: EIO: i/o error',
    })
  })
})
