// SPDX-License-Identifier: Apache-2.0
// Owns the collector `dmi-decode`: what the firmware says of itself, the processors and the memory, by
// dmidecode (contract 6.2; SMBIOS types 0, 4, 16, 17).
import { AgentError, messageOf } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { MiB } from '../../core/units.ts'
import type { CollectorCall } from './collector.ts'

const COMMAND = ['dmidecode', '-t', 'bios', '-t', 'processor', '-t', 'memory'] as const
const TIMEOUT_MS = 60_000
/** A machine of 64 memory modules says some 60 KiB. */
const MAX_BYTES = 2 * MiB

type Section = Record<string, string | string[] | number>

export async function collectDmi({ exec, signal }: CollectorCall): Promise<JsonObject> {
  try {
    const { stdout } = await exec(COMMAND, { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES, signal })
    return { dmi: parseDmi(stdout) }
  } catch (cause) {
    throw new AgentError('InspectionError', messageOf(cause), { cause })
  }
}

export interface Dmi {
  readonly bios: Section
  readonly cpu: readonly Section[]
  /** Of the first array, but the number of devices of all of them; `devices` are the modules and their slots. */
  readonly memory: Readonly<Record<string, unknown>> & { readonly devices: readonly Section[] }
}

/** What dmidecode prints: blocks behind empty lines, each with its handle first. */
export function parseDmi(text: string): Dmi {
  const blocks = text.split(/\n\n+/).flatMap((block) => {
    const type = /^Handle 0x[^,]*, DMI type (\d+),/.exec(block)?.[1]
    return type === undefined ? [] : [{ type: Number(type), section: parseBlock(block) }]
  })
  const sections = (type: number) =>
    blocks.filter((block) => block.type === type).map(({ section }) => section)
  const arrays = sections(16)
  const { Handle: _, ...first } = arrays[0] ?? {}
  const count = arrays.reduce((sum, array) => sum + (Number(array['Number Of Devices']) || 0), 0)
  return {
    bios: sections(0).at(-1) ?? {},
    cpu: sections(4),
    memory: {
      ...first,
      ...(arrays.length > 0 ? { 'Number Of Devices': count } : {}),
      devices: sections(17),
    },
  }
}

/** `Key: value` lines; a key without a value has the lines below it as a list. */
function parseBlock(block: string): Section {
  const section: Section = {}
  let list: string[] | undefined
  for (const line of block.split('\n').map((each) => each.trim())) {
    const field = /^([^:]*?)\s*:\s*(.*)$/.exec(line)
    if (field) {
      const [, key = '', value = ''] = field
      list = value === '' ? [] : undefined
      section[key] = list ?? value
    } else if (line.startsWith('Handle 0x')) section['Handle'] = line
    else list?.push(line)
  }
  return section
}
