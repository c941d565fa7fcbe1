// SPDX-License-Identifier: Apache-2.0
// Owns the order of versions (UAPI Version Format Specification), by which boot loaders sort kernels. Does not know what
// the versions are of.

const MARKS = ['~', '-', '^', '.'] as const
const PIECE = /^(?:\d+|[A-Za-z]+)/

/** Below zero where `a` is older. */
export function compareVersions(a: string, b: string): number {
  let [left, right] = [skipOthers(a), skipOthers(b)]
  while (left !== '' || right !== '') {
    const byMark = compareMarks(left, right)
    if (byMark !== 0) return byMark
    if (MARKS.some((mark) => left.startsWith(mark))) {
      left = skipOthers(left.slice(1))
      right = skipOthers(right.slice(1))
      continue
    }
    const [first, second] = [PIECE.exec(left)?.[0] ?? '', PIECE.exec(right)?.[0] ?? '']
    const byPiece = comparePieces(first, second)
    if (byPiece !== 0) return byPiece
    left = skipOthers(left.slice(first.length))
    right = skipOthers(right.slice(second.length))
  }
  return 0
}

/** Characters that separate and mean nothing else. */
function skipOthers(text: string): string {
  return text.replace(/^[^A-Za-z0-9~\-^.]+/, '')
}

/** A tilde is older than the end, the end older than a dash, a caret and a dot, in this order. */
function compareMarks(left: string, right: string): number {
  const isTilde = [left.startsWith('~'), right.startsWith('~')]
  if (isTilde[0] !== isTilde[1]) return isTilde[0] ? -1 : 1
  if (left === '' || right === '') return Math.sign(left.length - right.length)
  for (const mark of MARKS.slice(1)) {
    const has = [left.startsWith(mark), right.startsWith(mark)]
    if (has[0] !== has[1]) return has[0] ? -1 : 1
  }
  return 0
}

/** Numbers are newer than letters and compared by value; capital letters are older than small ones. */
function comparePieces(first: string, second: string): number {
  const isNumber = [/^\d/.test(first), /^\d/.test(second)]
  if (isNumber[0] !== isNumber[1]) return isNumber[0] ? 1 : -1
  if (isNumber[0]) {
    const [a, b] = [first.replace(/^0+/, ''), second.replace(/^0+/, '')]
    return Math.sign(a.length - b.length) || compareTexts(a, b)
  }
  return compareTexts(first, second)
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
