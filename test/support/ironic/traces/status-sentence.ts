// SPDX-License-Identifier: Apache-2.0
// Owns reading a sentence that Ironic was told back into the events that the agent had made it of, as far as the sentence tells
// them. Bytes are as exact as they were shown.
import type { News, Progress } from '../../../../agent/core/events.ts'
import { STEP_WORDS } from '../../../../agent/telemetry/console.ts'

const IDLE = 'waiting for a command'
const COMMAND_ID = '00000000-0000-4000-8000-000000000001'
const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }
const SIZE = String.raw`[\d.]+ (?:[KMG]iB|B)`
const SHOWN = new RegExp(
  String.raw`^(?: (?<percent>[\d.]+)% (?<done>${SIZE})/(?<total>${SIZE})| (?<only>${SIZE}))?` +
    String.raw`(?: (?<rate>${SIZE})/s ETA (?<eta>[-\d:]+))?(?: origin (?<origin>${SIZE}))?(?: (?<source>[a-z]+))?$`,
)

/** What has happened, from a command that begins or ends. @throws Error where the sentence has another form */
export function newsOfSentence(sentence: string): News[] {
  const command = { type: 'command', commandId: COMMAND_ID, error: null } as const
  if (sentence === IDLE) return [{ ...command, name: '', status: 'SUCCEEDED' }]
  const [name = '', shown] = sentence.split(': ', 2)
  const begun: News = { ...command, name, status: 'RUNNING' }
  return shown === undefined ? [begun] : [begun, { type: 'progress', progress: progressOf(shown) }]
}

function progressOf(shown: string): Progress {
  const steps = Object.entries(STEP_WORDS) as [Progress['step'], string][]
  const [step, words] = steps.find(([, each]) => shown.startsWith(each)) ?? []
  const found = SHOWN.exec(shown.slice(words?.length))?.groups
  if (step === undefined || found === undefined) throw new Error(`not a sentence: ${shown}`)
  const [done, total, only] = [found['done'], found['total'], found['only']].map(bytesOf)
  return {
    step,
    subject: null,
    unit: 'bytes',
    done: done ?? 0,
    total: total ?? only ?? 0,
    percent: Number(found['percent'] ?? 0),
    ratePerSecond: bytesOf(found['rate']) ?? 0,
    etaSeconds: secondsOf(found['eta']),
    source: found['source'] ?? null,
    bytes: { origin: bytesOf(found['origin']) ?? 0, peers: 0, file: 0 },
    uploadedBytes: 0,
    peers: 0,
  }
}

function bytesOf(shown: string | undefined): number | undefined {
  const [number, unit = ''] = shown?.split(' ') ?? []
  return number === undefined ? undefined : Number(number) * (UNITS[unit] ?? 1)
}

function secondsOf(shown: string | undefined): number | null {
  if (shown === undefined || shown === '-') return null
  return shown.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
}
