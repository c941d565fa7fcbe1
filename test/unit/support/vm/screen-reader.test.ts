// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parsePpm, readFont, readPicture } from '../../../support/vm/screen-reader.ts'

const FIRMWARE = '/usr/share/seabios/vgabios-stdvga.bin'
type Font = Awaited<ReturnType<typeof readFont>>

/** As a VGA draws lines: cells of 9 points, or of 8 in a framebuffer, 16 high. */
function drawn(
  font: Font,
  lines: readonly { text: string; ink: number; paper: number }[],
  { columns, cell }: { columns: number; cell: number },
): Buffer {
  const [width, height] = [columns * cell, lines.length * 16]
  const points = Buffer.alloc(width * height * 3)
  const glyphs = new Map(font.toReversed())
  for (const [row, { text, ink, paper }] of lines.entries()) {
    for (let i = 0; i < width * 16; i++) {
      const [x, y] = [i % width, Math.floor(i / width)]
      const bits = glyphs.get(text[Math.floor(x / cell)] ?? ' ')?.[y] ?? 0
      const isInk = x % cell < 8 && (bits & (0x80 >> (x % cell))) !== 0
      points.writeUIntBE(isInk ? ink : paper, (row * 16 * width + i) * 3, 3)
    }
  }
  return Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), points])
}

describe.skipIf(!existsSync(FIRMWARE))('a picture of a screen is read', () => {
  test.each([
    ['of text', { columns: 80, cell: 9 }],
    ['of points', { columns: 160, cell: 8 }],
  ])('%s: characters, and the colour of most of them', async (_, size) => {
    const font = await readFont(FIRMWARE)
    const lines = [
      { text: ' ironswarm   0.1.0', ink: 0x000000, paper: 0xaaaaaa },
      { text: ' Failed: wrong {~} | "é"', ink: 0xff5557, paper: 0x000000 },
      { text: ' ███░░  48.8%', ink: 0xffffff, paper: 0x000000 },
      { text: '─'.repeat(80), ink: 0x00aaaa, paper: 0x000000 },
      { text: '', ink: 0x00aaaa, paper: 0x000000 },
    ]
    const read = readPicture(parsePpm(drawn(font, lines, size)), font)
    expect(read.map(({ text }) => text)).toEqual(lines.map(({ text }) => text))
    expect(read.map(({ ink }) => ink)).toEqual(['black', 'red', 'white', 'cyan', undefined])
  })

  test('what is no picture is refused', () => {
    expect(() => parsePpm(Buffer.from('\u0089PNG\r\n'))).toThrow('P6')
  })
})
