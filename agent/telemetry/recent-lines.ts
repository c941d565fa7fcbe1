// SPDX-License-Identifier: Apache-2.0
// Owns the last log lines in memory, for the log bundle of a failed deploy. Does not write files.

export interface RecentLines {
  write(line: string): void
  /** The kept lines, oldest first. */
  text(): string
}

/** @param maxChars bound on what is kept; a single longer line is kept alone */
export function createRecentLines(maxChars: number): RecentLines {
  const lines: string[] = []
  let chars = 0
  return {
    write: (line) => {
      lines.push(line)
      chars += line.length
      while (chars > maxChars && lines.length > 1) chars -= (lines.shift() as string).length
    },
    text: () => lines.join(''),
  }
}
