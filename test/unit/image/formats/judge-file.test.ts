import { describe, expect, test } from 'vitest'
import {
  judgeFile,
  judgePacked,
  judgeUnpacked,
} from '../../../../agent/image/formats/judge-file.ts'
import { buildQcow2 } from '../../../support/formats/qcow2-builder.ts'

const PERMITTED = ['raw', 'qcow2']
const GZIP = Buffer.from('1f8b080000000000', 'hex')
const LZ4 = Buffer.from('04224d1800000000', 'hex')

describe('an image that the node says is packed by zstd', () => {
  const named = { disk: null, packing: 'zstd' } as const

  test('is a raw disk where the conductor, which unpacked it, serves one', () => {
    expect(judgeFile(wholeDisk(), { ...named, disk: 'raw' }, PERMITTED)).toBe('raw')
  })

  test('is judged like every other qcow2 where the conductor serves one', () => {
    expect(judgeFile(qcow2(), named, PERMITTED)).toBe('qcow2')
    expect(() => judgeFile(qcow2(), named, ['raw'])).toThrow(/permitted_image_formats has only raw/)
    expect(() => judgeFile(qcow2(), { ...named, disk: 'raw' }, PERMITTED)).toThrow(/although/)
  })

  test('is refused where it is packed otherwise', () => {
    expect(() => judgeFile(GZIP, named, PERMITTED)).toThrow(
      /by zstd, but its first bytes show gzip/,
    )
    expect(() => judgeFile(LZ4, named, PERMITTED)).toThrow(/by zstd, but its first bytes show lz4/)
  })

  test('is refused where it is nothing that may be written', () => {
    expect(() => judgeFile(Buffer.alloc(65_536), named, PERMITTED)).toThrow(/no partition table/)
  })
})

describe('a file that is packed, of which disk_format is qcow2', () => {
  const named = { disk: 'qcow2', packing: 'gzip' } as const

  test('is taken, as the qcow2 may be in it', () => {
    expect(judgeFile(GZIP, named, PERMITTED)).toBe('gzip')
    expect(judgePacked(qcow2(), 'gzip', named, PERMITTED)).toEqual({
      format: 'qcow2',
      virtualBytes: 1_048_576,
    })
  })

  test('is refused where a raw disk is in it, known before or not', () => {
    const why = /disk_format is qcow2, but what is packed in the gzip file is raw$/
    expect(() => judgePacked(wholeDisk(), 'gzip', named, PERMITTED)).toThrow(why)
    expect(() => judgeUnpacked(wholeDisk(), 'gzip', named, PERMITTED)).toThrow(why)
  })

  test('is refused where it is a raw disk, not packed at all', () => {
    expect(() => judgeFile(wholeDisk(), named, PERMITTED)).toThrow(/first bytes show raw$/)
  })
})

describe('what is packed in a file', () => {
  const named = { disk: null, packing: null } as const

  test('is a raw disk where no container shows', () => {
    expect(judgePacked(wholeDisk(), 'xz', named, PERMITTED)).toBeNull()
  })

  test.each([
    ['a container that is not permitted', qcow2(), named, ['raw'], /has only raw/],
    ['one that is named otherwise', qcow2(), { ...named, disk: 'raw' as const }, PERMITTED, /alth/],
    [
      'what is packed again',
      GZIP,
      named,
      PERMITTED,
      /is gzip, not a raw disk.*pack the disk itself/,
    ],
    ['no disk', Buffer.alloc(65_536), named, PERMITTED, /no partition table/],
  ])('is refused as %s', (_, bytes, names, permitted, why) => {
    expect(() => judgePacked(bytes, 'xz', names, permitted)).toThrow(why)
  })

  test('is refused as a container for which no place was planned, with what can be done', () => {
    expect(() => judgeUnpacked(qcow2(), 'xz', named, PERMITTED)).toThrow(
      /in the xz file is qcow2, .* let the agent reach one of the urls/,
    )
  })
})

function wholeDisk(): Buffer {
  const bytes = Buffer.alloc(65_536)
  bytes.set([0x55, 0xaa], 510)
  return bytes
}

/** The beginning of one of 1 MiB. */
function qcow2(): Uint8Array {
  return buildQcow2({ fields: { size: 1_048_576 } }).subarray(0, 65_536)
}
