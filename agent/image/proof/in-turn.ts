// SPDX-License-Identifier: Apache-2.0
// Owns work of which some is under way at the same time, and whose results are taken in the order it was begun. Does
// not know the work.

/**
 * Begins up to `slots` at a time, each told its slot, and yields what they resolve to, in order. The slot of what is
 * yielded is free again when the next is asked for, and so is its memory. Ends when nothing is under way and `begin`
 * returns undefined. Rejects with what the first failed with; those behind it may still be under way then.
 */
export async function* inTurn<T>(
  slots: number,
  begin: (slot: number) => Promise<T> | undefined,
): AsyncGenerator<T, void> {
  const underWay: Promise<T>[] = []
  let begun = 0
  const fill = () => {
    while (underWay.length < slots) {
      const work = begin(begun % slots)
      if (work === undefined) return
      begun += 1
      // met when it is its turn
      work.catch(() => undefined)
      underWay.push(work)
    }
  }
  for (fill(); underWay[0]; underWay.shift(), fill()) yield await underWay[0]
}
