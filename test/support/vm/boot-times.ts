// SPDX-License-Identifier: Apache-2.0
// Owns where the time of a boot goes, from the kernel's start to the first heartbeat, as the serial
// console tells it: the kernel's clock up to the agent, the agent's log lines from there.

/** Stages in the order they come; each ends with its mark. Node loads from `init` on, beside the others. */
const KERNEL_MARKS: readonly (readonly [stage: string, mark: RegExp])[] = [
  ['kernel', /Run \/init as init process/],
  ['root', /ironswarm: init$/],
  ['drivers', /ironswarm: drivers$/],
  ['devices', /ironswarm: devices$/],
  ['network', /ironswarm: network(:|$)/],
]
const AGENT_MARKS: readonly (readonly [stage: string, message: string])[] = [
  ['Node', 'agent started'],
  ['hardware', 'look the node up started'],
  ['look-up', 'look the node up finished'],
  ['API', 'api listening'],
  ['heartbeat', 'heartbeat sent'],
]

export interface BootTimes {
  /** From the kernel's start to the first heartbeat, seconds. */
  readonly seconds: number
  /** What they were spent on, in order. */
  readonly stages: readonly { readonly stage: string; readonly seconds: number }[]
}

/** Of the first boot in `text`; undefined if it got no further than some stage before the heartbeat. */
export function bootTimes(text: string): BootTimes | undefined {
  const ends = [...kernelEnds(text), ...agentEnds(text)]
  if (ends.length !== KERNEL_MARKS.length + AGENT_MARKS.length) return undefined
  const stages = ends.map(({ stage, at }, i) => ({ stage, seconds: at - (ends[i - 1]?.at ?? 0) }))
  return { seconds: ends.at(-1)?.at ?? 0, stages }
}

/** One line for a person. */
export function formatBootTimes({ seconds, stages }: BootTimes): string {
  const words = stages.map((each) => `${each.stage} ${each.seconds.toFixed(1)}`)
  return `first heartbeat ${seconds.toFixed(1)} s after the kernel's start: ${words.join(', ')}`
}

interface StageEnd {
  readonly stage: string
  readonly at: number
}

function kernelEnds(text: string): StageEnd[] {
  const lines = [...text.matchAll(/^\[ *(\d+\.\d+)\] (.*)$/gm)]
  return KERNEL_MARKS.flatMap(([stage, mark]) => {
    const line = lines.find(([, , words]) => mark.test(words ?? ''))
    return line ? [{ stage, at: Number(line[1]) }] : []
  })
}

/** The agent's clock counts from another zero; its first line tells how long the kernel runs by then. */
function agentEnds(text: string): StageEnd[] {
  const lines = [...text.matchAll(/^\{.*"msg":.*\}$/gm)].map(([line]) => JSON.parse(line))
  const started = lines.find(({ msg }) => msg === 'agent started')
  if (started === undefined) return []
  const zero = Date.parse(started.time) / 1000 - Number(started.uptime_s)
  return AGENT_MARKS.flatMap(([stage, message]) => {
    const line = lines.find(({ msg }) => msg === message)
    return line ? [{ stage, at: Date.parse(line.time) / 1000 - zero }] : []
  })
}
