// SPDX-License-Identifier: Apache-2.0
// Owns work that goes on at the same time on a fixed number of lanes, each with memory of its own. Does not know
// the work.

export interface Lanes<Lane> extends AsyncDisposable {
  /** Waits for a free lane and starts the work there. Rejects with what earlier work failed with. */
  start(work: (lane: Lane) => Promise<void>): Promise<void>
  /** Waits for all that was started. Rejects with what the first failed with. */
  finish(): Promise<void>
}

/** Lanes that are made when first needed, at most `count`. Disposing of them waits for what is under way. */
export function createLanes<Lane>(count: number, createLane: () => Lane): Lanes<Lane> {
  const free: Lane[] = []
  const underWay = new Set<Promise<void>>()
  let made = 0
  let failure: { readonly error: unknown } | undefined

  const throwFailure = () => {
    if (failure !== undefined) throw failure.error
  }
  const takeLane = async (): Promise<Lane> => {
    for (;;) {
      throwFailure()
      const lane = free.pop()
      if (lane !== undefined) return lane
      if (made < count) {
        made++
        return createLane()
      }
      await Promise.race(underWay)
    }
  }
  const runOn = async (lane: Lane, work: (lane: Lane) => Promise<void>) => {
    try {
      await work(lane)
    } catch (error) {
      failure ??= { error }
    }
    free.push(lane)
  }

  return {
    start: async (work) => {
      const lane = await takeLane()
      const running = runOn(lane, work).finally(() => underWay.delete(running))
      underWay.add(running)
    },
    finish: async () => {
      await Promise.all(underWay)
      throwFailure()
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(underWay)
    },
  }
}
