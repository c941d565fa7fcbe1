// SPDX-License-Identifier: Apache-2.0
// Owns listening for what switches say of themselves (LLDP) on given interfaces. Node has no raw sockets,
// so tcpdump listens. Does not send anything and brings no interface up.
import { timerMs } from '../../core/deadline.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Exec } from '../exec.ts'
import { parseLldpFrame, type Tlv } from './lldpdu.ts'
import { createPcapReader } from './pcap.ts'

/** As ironic-python-agent reads; LLDP frames are never larger. */
const FRAME_BYTES = 1600
/** Of the ring that the kernel keeps for each tcpdump; the default of 2 MiB is for busy links. */
const RING_KIB = 128
/** Frames that are no LLDP come from somebody who means ill: not listened to for ever. */
const MAX_FRAMES = 64

export interface LldpRequest {
  readonly interfaces: readonly string[]
  /** Ends when no interface has heard anything for this long; 0: does not listen at all. */
  readonly silenceMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The first LLDP frame that each interface hears, as TLVs by interface; an empty list for one that heard
 * nothing or cannot listen. Never throws: without tcpdump it says so and resolves to undefined.
 */
export async function listenForLldp(
  { interfaces, silenceMs, signal }: LldpRequest,
  { exec, log }: { readonly exec: Exec; readonly log: Logger },
): Promise<ReadonlyMap<string, readonly Tlv[]> | undefined> {
  const heard = new Map<string, readonly Tlv[]>(interfaces.map((name) => [name, []]))
  if (silenceMs === 0) return heard
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(), timerMs(silenceMs))
  const ended = AbortSignal.any([silence.signal, ...(signal ? [signal] : [])])
  // a bound for the case that this process dies: nobody else would end them
  const limitSeconds = Math.ceil((silenceMs / 1000) * (interfaces.length + 1))
  const failures: Record<string, string> = {}
  let isMissing = false
  const listen = async (name: string) => {
    try {
      const tlvs = await firstFrame(exec, name, limitSeconds, ended)
      if (tlvs === undefined) return
      heard.set(name, tlvs)
      timer.refresh()
    } catch (error) {
      failures[name] = messageOf(error)
      isMissing ||= error instanceof MissingTool
    }
  }
  await Promise.all(interfaces.map(listen))
  clearTimeout(timer)
  if (isMissing) {
    log.warn('lldp: tcpdump is not installed, so switches are not heard; install it in the ramdisk')
    return undefined
  }
  const silent = interfaces.filter((name) => heard.get(name)?.length === 0)
  if (!signal?.aborted) log.info({ silent, failures }, 'lldp: listened')
  return heard
}

/** coreutils' and BusyBox's word for a command that is not there. */
const EXIT_NOT_FOUND = 127

class MissingTool extends Error {}

/** Undefined when the signal came first. Throws ProcessError when tcpdump ends by itself. */
async function firstFrame(
  exec: Exec,
  name: string,
  limitSeconds: number,
  signal: AbortSignal,
): Promise<Tlv[] | undefined> {
  if (signal.aborted) return undefined
  const pcap = createPcapReader()
  const enough = new AbortController()
  let found: Tlv[] | undefined
  let frames = 0
  const take = (bytes: Uint8Array) => {
    if (enough.signal.aborted) return
    for (const frame of pcap.push(bytes)) {
      frames += 1
      found ??= parseLldpFrame(frame)
    }
    if (found !== undefined || frames >= MAX_FRAMES) enough.abort()
  }
  // promiscuous, because NICs filter the group address; -Q in: not what a program here sends itself
  const sizes = ['-s', `${FRAME_BYTES}`, '-B', `${RING_KIB}`]
  const output = ['-Z', 'root', '-n', '-U', '-w', '-']
  const tcpdump = ['tcpdump', '-i', name, '-Q', 'in', ...sizes, ...output, 'ether proto 0x88cc']
  try {
    const { exitCode } = await exec(['timeout', '-k', '2', `${limitSeconds}`, ...tcpdump], {
      timeoutMs: (limitSeconds + 5) * 1000,
      okExitCodes: [0, EXIT_NOT_FOUND],
      signal: AbortSignal.any([enough.signal, signal]),
      onStdout: take,
    })
    if (exitCode === EXIT_NOT_FOUND) throw new MissingTool()
  } catch (error) {
    if (!enough.signal.aborted && !signal.aborted) throw error
  }
  return found
}
