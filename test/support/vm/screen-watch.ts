// SPDX-License-Identifier: Apache-2.0
// Owns waiting until a machine's screen shows what it should: pictures are taken and read until they do, and the last one
// is kept for people. Does not read pictures itself (screen-reader.ts).
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { QemuMachine } from './qemu-machine.ts'
import {
  type Ink,
  parsePpm,
  type ReadLine,
  readFont,
  readKernelFont,
  readPicture,
} from './screen-reader.ts'

const LOOK_EVERY_MS = 250
/** A machine without KVM draws when it comes to it. */
const SHOWN_WITHIN_MS = 120_000

export interface SeenScreen {
  readonly lines: readonly ReadLine[]
  /** Of the first line that matches. */
  inkOf(line: RegExp): Ink | undefined
  /** What its first group has caught. */
  groupOf(line: RegExp): string | undefined
}

export interface ScreenWatch {
  /**
   * What stands there once each pattern matches a line, in this order; `<folder>/<picture>.png` shows it. Throws with
   * what stands there instead when the time is up.
   */
  shows(picture: string, patterns: readonly RegExp[]): Promise<SeenScreen>
}

/** Of a machine with a screen that boots this kernel. */
export async function createScreenWatch(
  machine: QemuMachine,
  folder: string,
  kernel: string,
): Promise<ScreenWatch> {
  const font = [...(await readFont()), ...(await readKernelFont(kernel))]
  const look = async (path: string) => {
    await machine.screenshot(path)
    const lines = readPicture(parsePpm(await readFile(path)), font)
    await rm(path)
    return lines
  }
  return {
    shows: async (picture, patterns) => {
      const deadline = performance.now() + SHOWN_WITHIN_MS
      let best: { missing: number; lines: readonly ReadLine[] } | undefined
      while (performance.now() < deadline) {
        const lines = await look(join(folder, `${picture}.ppm`))
        const missing = firstMissing(lines, patterns)
        const isNearer = best === undefined || missing > best.missing
        if (isNearer) await machine.screenshot(join(folder, `${picture}.png`))
        // the latest of those that come as near
        if (isNearer || missing === best?.missing) best = { missing, lines }
        if (missing === patterns.length) {
          return seenOf(lines)
        }
        await delay(LOOK_EVERY_MS)
      }
      await machine.screenshot(join(folder, `${picture}.png`))
      const texts = best?.lines.map(({ text }) => text).join('\n')
      const pattern = patterns[best?.missing ?? 0]
      throw new Error(
        `no line ${pattern} after those before it; nearest came a screen of:\n${texts}`,
      )
    },
  }
}

function seenOf(lines: readonly ReadLine[]): SeenScreen {
  return {
    lines,
    inkOf: (line) => lines.find(({ text }) => line.test(text))?.ink,
    groupOf: (line) => lines.map(({ text }) => line.exec(text)?.[1]).find((found) => found),
  }
}

/** Which pattern is the first without a line behind that of the pattern before it; their number if all have one. */
function firstMissing(lines: readonly ReadLine[], patterns: readonly RegExp[]): number {
  let at = 0
  for (const [i, pattern] of patterns.entries()) {
    const found = lines.findIndex(({ text }, row) => row >= at && pattern.test(text))
    if (found < 0) return i
    at = found + 1
  }
  return patterns.length
}
