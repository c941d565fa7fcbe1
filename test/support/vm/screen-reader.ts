// SPDX-License-Identifier: Apache-2.0
// Owns reading what stands on a machine's screen: a picture of it, cell by cell, against the font that the firmware
// brings or the kernel draws with. Does not take the picture.
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'

const FIRMWARE = '/usr/share/seabios/vgabios-stdvga.bin'
const GLYPH_BYTES = 16
const CELL_ROWS = 16
/** `A` of the VGA's font, line by line: where it lies, the font lies. */
const LETTER_A = Buffer.from('000010386cc6c6fec6c6c6c600000000', 'hex')
/** Columns of the text mode's cells have 9 points, of which the last one is blank or repeated. */
const TEXT_MODE = { width: 720, cell: 9 }
const FRAMEBUFFER_CELL = 8
/** A framebuffer has more, which stay as they were. */
const MOST_COLUMNS = 80
/** Code page 437 from 0x80 on: the order of the font. */
const UPPER_HALF =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ '

/** A picture in points of 24 bits. */
export interface Picture {
  readonly width: number
  readonly height: number
  /** Row by row, 3 bytes a point. */
  readonly points: Buffer
}

/** Of the 16 colours of a console, bright or not. */
const COLOURS = ['black', 'blue', 'green', 'cyan', 'red', 'magenta', 'yellow', 'white'] as const

export type Ink = (typeof COLOURS)[number]

/** The line of a screen: its characters without blanks at the end, and the colour that most of its ink has. */
export interface ReadLine {
  readonly text: string
  readonly ink: Ink | undefined
}

type Glyph = readonly [character: string, bits: Buffer]

/** Rows of a picture by a font or two; a cell that is no character is the one it resembles most. */
export function readPicture(picture: Picture, font: readonly Glyph[]): ReadLine[] {
  const columns = picture.width === TEXT_MODE.width ? TEXT_MODE.cell : FRAMEBUFFER_CELL
  const known = new Map<string, string>()
  const characterOf = (bits: Buffer) => {
    const key = bits.toString('latin1')
    const character = known.get(key) ?? nearest(bits, font)
    known.set(key, character)
    return character
  }
  return Array.from({ length: Math.floor(picture.height / CELL_ROWS) }, (_, row) => {
    const inks = new Map<number, number>()
    const text = Array.from(
      { length: Math.min(MOST_COLUMNS, Math.floor(picture.width / columns)) },
      (_, column) => characterOf(cellOf(picture, column * columns, row * CELL_ROWS, inks)),
    )
    const most = [...inks].sort(([, a], [, b]) => b - a)[0]?.[0]
    return { text: text.join('').trimEnd(), ink: most === undefined ? undefined : nameOf(most) }
  })
}

/** The points of a cell that are not of the row's background, as a glyph has them; their colours are counted. */
function cellOf(
  { width, points }: Picture,
  left: number,
  top: number,
  inks: Map<number, number>,
): Buffer {
  const colour = (x: number, y: number) => points.readUIntBE((y * width + x) * 3, 3)
  // no line begins with a character that fills its corner
  const background = colour(0, top)
  const bits = Buffer.alloc(GLYPH_BYTES)
  for (let i = 0; i < CELL_ROWS * 8; i++) {
    const [x, y] = [i % 8, i >> 3]
    const point = colour(left + x, top + y)
    if (point === background) continue
    inks.set(point, (inks.get(point) ?? 0) + 1)
    bits[y] = (bits[y] as number) | (0x80 >> x)
  }
  return bits
}

/** Of QEMU's screendump: `P6`, width, height, 255 and the points. */
export function parsePpm(bytes: Buffer): Picture {
  const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64))
  if (head === null) throw new Error('not a picture of format P6')
  const [all, width, height] = head
  return { width: Number(width), height: Number(height), points: bytes.subarray(all.length) }
}

/** The font of the VGA's firmware, in which text modes are drawn; blanks come before their likes. */
export async function readFont(path = FIRMWARE): Promise<readonly Glyph[]> {
  return glyphsIn(await readFile(path), path)
}

/** The font that a kernel draws framebuffers in: a bzImage whose payload is of xz, as Debian's are (x86 boot protocol). */
export async function readKernelFont(path: string): Promise<readonly Glyph[]> {
  const image = await readFile(path)
  const start = (image.readUInt8(0x1f1) + 1) * 512 + image.readUInt32LE(0x248)
  const xz = spawnSync('xz', ['--decompress', '--stdout', '--single-stream'], {
    input: image.subarray(start, start + image.readUInt32LE(0x24c)),
    maxBuffer: 512 * 1024 * 1024,
  })
  return glyphsIn(xz.stdout, path)
}

function glyphsIn(bytes: Buffer, path: string): readonly Glyph[] {
  const start = bytes.indexOf(LETTER_A) - 'A'.charCodeAt(0) * GLYPH_BYTES
  if (start < 0) throw new Error(`${path} holds no font of 8 by 16`)
  return Array.from({ length: 256 - 32 }, (_, i) => {
    const code = i + 32
    const character = code < 0x7f ? String.fromCharCode(code) : (UPPER_HALF[code - 0x80] ?? ' ')
    const at = start + code * GLYPH_BYTES
    return [character, bytes.subarray(at, at + GLYPH_BYTES)]
  })
}

function nearest(bits: Buffer, font: readonly Glyph[]): string {
  let best = ' '
  let least = Number.POSITIVE_INFINITY
  for (const [character, glyph] of font) {
    let differing = 0
    for (let i = 0; i < GLYPH_BYTES && differing < least; i++) {
      differing += bitCount((bits[i] as number) ^ (glyph[i] as number))
    }
    if (differing < least) [best, least] = [character, differing]
  }
  return best
}

function bitCount(byte: number): number {
  let count = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++
  return count
}

function nameOf(colour: number): Ink {
  const bits = [16, 8, 0].map((shift) => (colour >> shift) & 0x80)
  return COLOURS[bits.reduce((sum, bit) => sum * 2 + (bit >> 7), 0)] as Ink
}
