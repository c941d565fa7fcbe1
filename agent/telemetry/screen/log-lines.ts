// SPDX-License-Identifier: Apache-2.0
// Owns lines of the log as the screen at the rack shows them: `19:02:11 warn  lookup failed: why`. Does not keep them.

/** Of the end of the log so much is looked at, characters: a screen has 25 lines. */
const MOST_CHARS = 32 * 1024

/** The last `most` lines of a log of JSON lines, oldest first; a line that is none is left out. */
export function readableLines(log: string, most: number): string[] {
  return log
    .slice(-MOST_CHARS)
    .split('\n')
    .flatMap((line) => readable(line))
    .slice(-most)
}

function readable(line: string): string[] {
  try {
    const { time, level, msg, reason, err, ...facts } = JSON.parse(line)
    const why = reason ?? err?.message ?? facts['name'] ?? facts['device'] ?? ''
    const clock = String(time).slice(11, 19)
    return [`${clock} ${String(level).padEnd(5)} ${msg}${why === '' ? '' : `: ${why}`}`]
  } catch {
    return []
  }
}
