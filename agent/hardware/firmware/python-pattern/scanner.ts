// SPDX-License-Identifier: Apache-2.0
// Owns the text of a pattern while it is read, and the error that says where it cannot be. Knows no syntax.

/** A pattern that Python would refuse, or that has no meaning here; the message says where and why. */
export class PatternError extends Error {
  override name = 'PatternError'
}

export interface Scanner {
  /** The character at the place, whole even beyond the BMP; empty at the end. */
  peek(): string
  /** Moves behind the character and returns it; empty at the end. */
  next(): string
  /** Moves behind `text` if it stands at the place. */
  take(text: string): boolean
  /** Moves behind what the sticky expression matches at the place, and returns the match. */
  match(expression: RegExp): RegExpExecArray | undefined
  /** Throws PatternError with the place. */
  fail(why: string): never
}

export function createScanner(text: string): Scanner {
  let at = 0
  const peek = () => {
    const point = text.codePointAt(at)
    return point === undefined ? '' : String.fromCodePoint(point)
  }
  return {
    peek,
    next: () => {
      const character = peek()
      at += character.length
      return character
    },
    take: (wanted) => {
      if (!text.startsWith(wanted, at)) return false
      at += wanted.length
      return true
    },
    match: (expression) => {
      const sticky = new RegExp(expression.source, `${expression.flags}y`)
      sticky.lastIndex = at
      const found = sticky.exec(text) ?? undefined
      at += found?.[0].length ?? 0
      return found
    },
    fail: (why) => {
      throw new PatternError(`${why} at position ${at}`)
    },
  }
}
