import { describe, expect, test } from 'vitest'
import { ZstdFrame } from '../../../../../agent/image/formats/compressed/zstd-frame.ts'
import { createPieceWriter } from '../../../../../agent/image/formats/seekable/pieces.ts'
import { buildFrame } from '../../../../support/formats/zstd-builder.ts'

const PIECE_BYTES = 64 * 1024
/** What a frame has besides what it holds. */
const OVERHEAD_BYTES = buildFrame({ blocks: [new Uint8Array(1)] }).length - 1

describe('a piece', () => {
  test.each([0, 1, 5, 7, 8, 9])(
    'ends with a whole frame where the run that fits best leaves %i bytes',
    async (leftBytes) => {
      const pack = async (bytes: Uint8Array) => buildFrame({ blocks: [bytes] })
      const parts: Uint8Array[] = []
      const writer = createPieceWriter({
        ...{ pieceLength: PIECE_BYTES, pack },
        write: async (bytes) => void parts.push(bytes.slice()),
      })
      const run = new Uint8Array(PIECE_BYTES - OVERHEAD_BYTES - leftBytes)
      for (let count = 0; count < 3; count++) await writer.add(run, await pack(run))
      const fileBytes = await writer.finish()
      const file = Buffer.concat(parts)
      expect(file.length).toBe(fileBytes)
      const borders = new Set<number>()
      for (let at = 0; at < file.length; ) {
        borders.add(at)
        const frame = new ZstdFrame(at)
        at = frame.walk(file, frame.readHeader(file, at))
        expect(frame.isEnded).toBe(true)
      }
      expect(borders.has(PIECE_BYTES)).toBe(true)
      expect(borders.has(2 * PIECE_BYTES)).toBe(true)
    },
  )
})
