// SPDX-License-Identifier: Apache-2.0
// Owns the step update_nvidia_nic_firmware_image (contract 7.1, ironic-python-agent's mlnx): every file is fetched and
// proved to be what was named before the first card is written. Does not reset cards: the reboot that follows does.
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from '../../../config/options.ts'
import { AgentError } from '../../../core/errors.ts'
import { isObject, stringAt } from '../../../core/json.ts'
import { redactUrl } from '../../../core/redact.ts'
import { MiB } from '../../../core/units.ts'
import { createHttpClient } from '../../../http/client.ts'
import type { Exec } from '../../../system/exec.ts'
import type { Root } from '../../../system/root.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { type FirmwareFacts, listNvidiaNics, type NvidiaNic, queryFirmware } from './nics.ts'

export interface FirmwareDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info'>
}

/** One firmware, as the step's arguments name it. */
interface FirmwareImage {
  readonly url: string
  readonly checksum: string
  readonly checksumType: 'sha256' | 'sha512'
  readonly psid: string
  readonly version: string
}

const MAX_FIRMWARE_BYTES = 128 * MiB
const FETCH_TIMEOUT_MS = 600_000
/** Minutes; the card keeps its old firmware until the new one is whole. */
const BURN_TIMEOUT_MS = 3600 * 1000
const RESET_TIMEOUT_MS = 300_000
const KEYS = ['url', 'checksum', 'checksumType', 'componentFlavor', 'version'] as const

/**
 * Updates each card whose PSID one of the images has, if it has another version. By card, what was done; in force after the
 * reboot that the step asks for. It cannot be aborted.
 * @throws AgentError InvalidCommandParamsError, ImageDownloadError, ImageChecksumError, InvalidImage, ProcessError,
 *   CommandExecutionError (the card says another version afterwards)
 */
export async function updateFirmwareImages(
  value: unknown,
  deps: FirmwareDeps,
): Promise<Record<string, string>> {
  const images = parseImages(value)
  const cards = await cardsOf(deps)
  const wanted = cards.flatMap(({ nic, facts }) => {
    const image = images.find(({ psid }) => psid === facts.psid)
    return image ? [{ nic, facts, image }] : []
  })
  const folder = await mkdtemp(join(deps.config.run_dir, 'firmware-'))
  try {
    const files = new Map<FirmwareImage, string>()
    for (const image of new Set(wanted.map(({ image }) => image))) {
      files.set(image, await bring(image, join(folder, String(files.size)), deps))
    }
    const done: Record<string, string> = {}
    for (const { nic, facts, image } of wanted) {
      done[nic.card] = await burn({ nic, facts }, image, files.get(image) as string, deps)
    }
    return done
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function parseImages(value: unknown): FirmwareImage[] {
  if (!Array.isArray(value)) throw invalid('images must be a list')
  const images = value.map((entry, i): FirmwareImage => {
    const missing = KEYS.filter((key) => !stringAt(entry, key))
    if (!isObject(entry) || missing.length > 0) {
      throw invalid(`images[${i}] lacks ${missing.join(', ')}, or they are no text`)
    }
    const text = (key: (typeof KEYS)[number]) => stringAt(entry, key) as string
    const checksumType = text('checksumType').toLowerCase()
    if (checksumType !== 'sha256' && checksumType !== 'sha512') {
      throw invalid(`images[${i}].checksumType is neither sha256 nor sha512`)
    }
    if (!/^(https?|file):\/\//i.test(text('url')) || !URL.canParse(text('url'))) {
      throw invalid(`images[${i}].url is neither http(s):// nor file://`)
    }
    const checksum = text('checksum').toLowerCase()
    const [psid, version] = [text('componentFlavor'), text('version')]
    return { url: text('url'), checksum, checksumType, psid, version }
  })
  const twice = images.find(({ psid }, i) => images.findIndex((one) => one.psid === psid) < i)
  if (twice) throw invalid(`images has two of componentFlavor ${twice.psid}`)
  return images
}

/** Once a card, by its first function. */
async function cardsOf({ exec, root }: FirmwareDeps) {
  const cards: Card[] = []
  for (const nic of await listNvidiaNics(root)) {
    if (cards.some((known) => known.nic.card === nic.card)) continue
    cards.push({ nic, facts: await queryFirmware(exec, ['-d', nic.address]) })
  }
  return cards
}

async function bring(
  image: FirmwareImage,
  path: string,
  { config, exec }: FirmwareDeps,
): Promise<string> {
  const bytes = await load(image.url, config)
  const sum = createHash(image.checksumType).update(bytes).digest('hex')
  if (sum !== image.checksum) {
    throw new AgentError(
      'ImageChecksumError',
      `${redactUrl(image.url)} has the ${image.checksumType} ${sum}, not ${image.checksum}`,
    )
  }
  await writeFile(path, bytes, { mode: 0o600 })
  const { psid, version } = await queryFirmware(exec, ['-i', path])
  if (psid === image.psid && version === image.version) return path
  throw new AgentError(
    'InvalidImage',
    `${redactUrl(image.url)} is firmware ${version ?? 'of no version'} for ${psid ?? 'no PSID'}, not ${image.version} ` +
      `for ${image.psid}`,
  )
}

async function load(url: string, config: Config): Promise<Uint8Array> {
  const { protocol } = new URL(url)
  if (protocol === 'file:') return await readFile(fileURLToPath(url))
  await using http = createHttpClient({ config })
  const request = { timeoutMs: FETCH_TIMEOUT_MS, maxBytes: MAX_FIRMWARE_BYTES }
  const { status, bytes } = await http.request(url, request)
  if (status === 200) return bytes
  throw new AgentError('ImageDownloadError', `${redactUrl(url)}: status ${status}`)
}

interface Card {
  readonly nic: NvidiaNic
  readonly facts: FirmwareFacts
}

/** Returns what came of it, in words. */
async function burn(
  { nic: { address }, facts: { version, runningVersion } }: Card,
  image: FirmwareImage,
  path: string,
  { exec, log }: FirmwareDeps,
): Promise<string> {
  if (version === image.version) return `has ${image.version}`
  // a card takes no second update before it has begun to run the first
  if (runningVersion !== undefined) {
    const argv = ['mstfwreset', '-d', address, '-y', '--sync', '1', 'reset'] as const
    await exec(argv, { timeoutMs: RESET_TIMEOUT_MS })
  }
  await exec(['mstflint', '-d', address, '-i', path, '-y', 'burn'], { timeoutMs: BURN_TIMEOUT_MS })
  const now = await queryFirmware(exec, ['-d', address])
  if (now.version !== image.version) {
    throw new AgentError(
      'CommandExecutionError',
      `${address} says it has firmware ${now.version} after ${image.version} was written`,
    )
  }
  log.info({ pci_address: address, from: version, to: image.version }, 'firmware updated')
  return `${image.version} instead of ${version ?? 'none'}, from the next reset on`
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
