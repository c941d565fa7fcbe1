// SPDX-License-Identifier: Apache-2.0
// Owns the step update_nvidia_nic_firmware_settings (contract 7.1, ironic-python-agent's mlnx): settings of cards by
// mstconfig, those alone that differ. What a setting means the card knows.
import { AgentError } from '../../../core/errors.ts'
import { isObject, type JsonObject, objectAt, stringAt } from '../../../core/json.ts'
import type { Exec } from '../../../system/exec.ts'
import type { FirmwareDeps } from './firmware-image.ts'
import { listNvidiaNics, type NvidiaNic, QUERY_TIMEOUT_MS } from './nics.ts'

interface DeviceSettings {
  readonly deviceId: string
  readonly global: JsonObject
  readonly function0: JsonObject
  readonly function1: JsonObject
}

const SET_TIMEOUT_MS = 300_000
/** `NUM_OF_VFS`, `UCTX_EN[0]`, `PF_BAR2_SIZE[0..3]`. */
const NAME = /^[A-Z][A-Z0-9_]*(\[\d+(\.\.\d+)?\])?$/
const VALUE = /^[\w.,:-]+$/

/**
 * Sets what the list says for each device ID that this machine has. By function, what was set; in force after the reboot
 * that the step asks for.
 * @throws AgentError InvalidCommandParamsError (also for a setting that the firmware does not have, before anything is set),
 *   ProcessError, CommandExecutionError (the card says another value afterwards)
 */
export async function updateFirmwareSettings(
  value: unknown,
  { exec, root, log }: Pick<FirmwareDeps, 'exec' | 'root' | 'log'>,
): Promise<Record<string, string>> {
  const settings = parseSettings(value)
  const changes: { readonly nic: NvidiaNic; readonly words: readonly string[] }[] = []
  const nics = await listNvidiaNics(root)
  for (const nic of nics) {
    const isFirst = nics.find(({ card }) => card === nic.card) === nic
    const wanted = wantedOf(nic, isFirst, settings)
    if (wanted.size > 0)
      changes.push({ nic, words: differing(nic, wanted, await query(exec, nic)) })
  }
  const done: Record<string, string> = {}
  for (const { nic, words } of changes) {
    if (words.length > 0) await set(exec, nic, words)
    done[nic.address] = words.join(' ') || 'has them all'
    log.info({ pci_address: nic.address, settings: words }, 'firmware settings')
  }
  return done
}

function parseSettings(value: unknown): DeviceSettings[] {
  if (!Array.isArray(value)) throw invalid('settings must be a list')
  const settings = value.map((entry, i): DeviceSettings => {
    const id = stringAt(entry, 'deviceID')
    if (!isObject(entry) || !id) throw invalid(`settings[${i}] lacks deviceID`)
    return {
      deviceId: id.replace(/^0x/i, '').toLowerCase(),
      global: checked(entry, 'globalConfig', i),
      function0: checked(entry, 'function0Config', i),
      function1: checked(entry, 'function1Config', i),
    }
  })
  const twice = settings.find(
    ({ deviceId }, i) => settings.findIndex((one) => one.deviceId === deviceId) < i,
  )
  if (twice) throw invalid(`settings has two of deviceID ${twice.deviceId}`)
  return settings
}

function checked(entry: JsonObject, key: string, i: number): JsonObject {
  const config = objectAt(entry, key)
  for (const [name, value] of Object.entries(config)) {
    if (NAME.test(name) && VALUE.test(wordOf(value))) continue
    throw invalid(`settings[${i}].${key}: ${name} is no setting, or its value is none`)
  }
  return config
}

/** True and false as mstconfig has them. */
function wordOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

/** The first function of a card that is there stands for the card. */
function wantedOf(
  { address, deviceId }: NvidiaNic,
  isFirst: boolean,
  settings: readonly DeviceSettings[],
): Map<string, string> {
  const found = settings.find((one) => one.deviceId === deviceId)
  if (!found) return new Map()
  const own = address.endsWith('.0') ? found.function0 : found.function1
  const all = { ...(isFirst ? found.global : {}), ...own }
  return new Map(Object.entries(all).map(([name, value]) => [name, wordOf(value)]))
}

async function query(exec: Exec, { address }: NvidiaNic): Promise<Map<string, string>> {
  const { stdout } = await exec(['mstconfig', '-d', address, 'q'], { timeoutMs: QUERY_TIMEOUT_MS })
  return parseConfigurations(stdout)
}

/** Lines `NAME   value` below `Configurations:`; of several columns the last is what the next boot has. */
export function parseConfigurations(text: string): Map<string, string> {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.includes('Configurations:'))
  const rows = lines.slice(start + 1).flatMap((line): [string, string][] => {
    const [name, ...values] = line
      .trim()
      .replace(/^\*\s*/, '')
      .split(/\s+/)
    const last = values.at(-1)
    return name && last !== undefined && /^[A-Z][A-Z0-9_]*(\[.*\])?$/.test(name)
      ? [[name, last]]
      : []
  })
  return new Map(start < 0 ? [] : rows)
}

/** As `NAME=value`. Throws where the firmware has no such setting. */
function differing(
  { address }: NvidiaNic,
  wanted: ReadonlyMap<string, string>,
  current: ReadonlyMap<string, string>,
): string[] {
  return [...wanted].flatMap(([name, value]) => {
    const has = current.get(name.replace(/\[.*$/, '')) ?? current.get(name)
    if (has === undefined) throw invalid(`the firmware of ${address} has no setting ${name}`)
    return !name.includes('[') && isSame(has, value) ? [] : [`${name}=${value}`]
  })
}

/** `True(1)` is True and 1; `ETH(2)` is ETH and 2; numbers may be hexadecimal. */
function isSame(has: string, wanted: string): boolean {
  const words = [has, ...(/^(.*)\((.*)\)$/.exec(has)?.slice(1) ?? [])]
  return words.some(
    (word) =>
      word.toLowerCase() === wanted.toLowerCase() ||
      (word !== '' && Number(word) === Number(wanted)),
  )
}

async function set(exec: Exec, nic: NvidiaNic, words: readonly string[]): Promise<void> {
  const argv = ['mstconfig', '-d', nic.address, '-y', 'set', ...words] as const
  await exec(argv, { timeoutMs: SET_TIMEOUT_MS })
  const now = await query(exec, nic)
  for (const word of words.filter((one) => !one.includes('['))) {
    const [name = '', value = ''] = word.split('=')
    const has = now.get(name) ?? 'nothing'
    if (isSame(has, value)) continue
    throw new AgentError(
      'CommandExecutionError',
      `${nic.address} says ${name} is ${has} after it was set to ${value}`,
    )
  }
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
