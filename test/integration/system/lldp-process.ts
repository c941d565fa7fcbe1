// SPDX-License-Identifier: Apache-2.0
// Owns the agent's listener in a process of its own, to be put into another network: prints `listening`,
// then what came as JSON. Its request is JSON on the command line.
import { findSwitchRack } from '../../../agent/hardware/switch-rack.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { listenForLldp } from '../../../agent/system/lldp/lldp.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

export interface ListenerRequest {
  readonly interfaces: readonly string[]
  readonly silenceMs: number
  /** Asks for the rack on the way there instead. */
  readonly towards?: string
}

const request = JSON.parse(process.argv[2] as string) as ListenerRequest
const lines: string[] = []
const log = createLogger({ level: 'debug', destination: { write: (line) => lines.push(line) } })
/** The header of the capture comes before any frame. */
const telling: Exec = (argv, { onStdout, ...options } = {}) => {
  if (onStdout === undefined) return exec(argv, options)
  let isListening = false
  const take = (chunk: Uint8Array) => {
    if (!isListening) console.log('listening')
    isListening = true
    onStdout(chunk)
  }
  return exec(argv, { ...options, onStdout: take })
}
const deps = { exec: telling, log, root: createRoot('/') }
const { towards, ...listening } = request
const heard = towards === undefined ? await listenForLldp(listening, deps) : undefined
const tlvs = [...(heard ?? [])].map(([name, list]) => [
  name,
  list.map(({ type, value }) => [type, Buffer.from(value).toString('hex')]),
])
const rack = towards && (await findSwitchRack({ ...listening, towards: [towards] }, deps))
console.log(
  JSON.stringify({
    heard: heard ? Object.fromEntries(tlvs) : null,
    rack: rack ?? null,
    log: lines,
  }),
)
