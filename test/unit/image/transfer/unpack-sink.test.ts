import { describe, expect, test } from 'vitest'
import { createHeldBack } from '../../../../agent/disk/hold-back.ts'
import { createUnpackSink } from '../../../../agent/image/transfer/unpack-sink.ts'

const WINDOW = { offset: 4096, length: 8192 }
const MiB = 1024 * 1024

/** A sink of which the first KiB of the window is held back. */
function sink(window = WINDOW) {
  const done: [string, number, number][] = []
  const disk = createUnpackSink({
    window,
    held: createHeldBack([{ offset: 4096, length: 1024 }]),
    toDisk: { write: async ({ offset, data }) => void done.push(['write', offset, data.length]) },
    zeroes: async ({ offset, length }) => {
      done.push(['zero', offset, length])
      return [{ offset, length, isByDevice: true }]
    },
    onZeroed: async ({ offset, length }) => void done.push(['made', offset, length]),
  })
  const write = (offset: number, length: number) =>
    disk.write({ offset, data: new Uint8Array(length), from: 'file' })
  return { ...disk, write, done }
}

describe('what was unpacked', () => {
  test('is all there: written, made zero, held back', async () => {
    const disk = sink()
    await disk.write(4096, 2048)
    await disk.zero({ offset: 6144, length: 1024 })
    await disk.zero({ offset: 7168, length: 1024 })
    await disk.write(8192, 1000)
    await disk.finish(4096 + 1000)
    expect(disk.done).toEqual([
      ['write', 5120, 1024],
      ['write', 8192, 1000],
      ['zero', 6144, 2048],
      ['made', 6144, 2048],
    ])
  })

  test('is all there where zeros are held back too', async () => {
    const disk = sink()
    await disk.zero({ offset: 4096, length: 3000 })
    await disk.finish(3000)
    expect(disk.done).toEqual([
      ['zero', 5120, 1976],
      ['made', 5120, 1976],
    ])
  })

  test('is told of a long hole by and by, so that it can be read back meanwhile', async () => {
    const disk = sink({ offset: 0, length: 600 * MiB })
    await disk.zero({ offset: 5120, length: 520 * MiB })
    // at once: nobody knows when the next zeros come
    expect(disk.done.map(([what]) => what)).toEqual([
      'zero',
      'made',
      'zero',
      'made',
      'zero',
      'made',
    ])
    await disk.write(0, 5120)
    await disk.finish(520 * MiB + 5120)
    const lengths = disk.done.flatMap(([what, , length]) => (what === 'made' ? [length / MiB] : []))
    expect(lengths).toEqual([256, 256, 8])
  })

  test.each([
    [
      'is too little',
      1,
      'of 3073 bytes of the image 2048 were written, 0 made zero, 1024 held back',
    ],
    [
      'was there twice',
      -1,
      'of 3071 bytes of the image 2048 were written, 0 made zero, 1024 held back',
    ],
  ])('is refused where it %s', async (_what, missing, words) => {
    const disk = sink()
    await disk.write(4096, 3072)
    await expect(disk.finish(3072 + missing)).rejects.toMatchObject({
      type: 'ImageWriteError',
      details: expect.stringContaining(words),
    })
  })

  test('is refused outside of the window', async () => {
    await expect(sink().write(4096 + 8191, 2)).rejects.toMatchObject({ type: 'InvalidImage' })
    await expect(sink().zero({ offset: 4095, length: 1 })).rejects.toMatchObject({
      type: 'InvalidImage',
    })
  })
})
