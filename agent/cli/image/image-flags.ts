// SPDX-License-Identifier: Apache-2.0
// Owns the image_info that flags make: --url or a file, --sha256 or --sha512, --torrent, --format. Its checks are
// image/'s; here only what a flag alone can say wrong.
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { redactUrl } from '../../core/redact.ts'
import { isHttpUrl, type OsHash } from '../../image/request/image-info.ts'
import type { CommandLine } from '../command-line.ts'
import { readInputText, requireReadable } from '../input-file.ts'
import { readTorrentFile } from '../swarm/torrent-file.ts'
import { hashFile } from './hash-file.ts'

/** What says something of an image, by the names that commander gives them. */
export const IMAGE_FLAGS = ['sha256', 'sha512', 'torrent', 'format'] as const

const HEX_DIGITS = { sha256: 64, sha512: 128 } as const

/**
 * The image_info of a file, or of urls. A file that comes without a hash is read for it: the disk is then proved to
 * hold what the file holds. Throws InvalidCommandParamsError.
 * @param judge called before a file is read, and may throw
 */
export async function imageInfoOfFlags(
  line: CommandLine,
  command: Command,
  image: string | readonly string[],
  judge: () => Promise<void>,
): Promise<JsonObject> {
  const isFile = typeof image === 'string' && !isHttpUrl(image)
  const urls = isFile ? [pathToFileURL(resolve(image)).href] : [image].flat()
  if (isFile) await requireReadable(image, 'an image is a file or an http(s) URL')
  const wrong = isFile ? undefined : urls.find((url) => !isHttpUrl(url) || !URL.canParse(url))
  if (wrong !== undefined) {
    throw usage(`--url is "${redactUrl(wrong)}"; give http(s)://host/IMAGE, or a file as a word`)
  }
  const hash = hashFlag(command)
  if (hash === undefined && !isFile) {
    throw usage(
      '--sha256 or --sha512 is missing: an image is never written unverified. Give its digest, or the URL of a ' +
        'file with digests (SHA256SUMS)',
    )
  }
  const format = command.getOptionValue('format') as string | undefined
  const torrent = command.getOptionValue('torrent') as string | undefined
  const named = torrent === undefined ? {} : { torrent: await torrentOf(torrent) }
  if (hash === undefined) await judge()
  const { algo, value } = hash ?? { algo: 'sha256', value: await hashFile(image as string, line) }
  return {
    id: nameOf(urls[0] ?? ''),
    urls,
    os_hash_algo: algo,
    os_hash_value: value,
    ...(format === undefined || format === 'auto' ? {} : { disk_format: format }),
    ...named,
  }
}

/** --sha256 or --sha512; undefined for neither. Throws InvalidCommandParamsError. */
export function hashFlag(command: Command): OsHash | undefined {
  const [given, ...more] = (['sha256', 'sha512'] as const).flatMap((algo) => {
    const value = command.getOptionValue(algo) as string | undefined
    return value === undefined ? [] : [{ algo, value: value.trim() }]
  })
  if (given === undefined) return undefined
  if (more.length > 0) throw usage('--sha256 and --sha512: give one of them')
  const { algo, value } = given
  if (isHttpUrl(value)) return given
  const digits = HEX_DIGITS[algo]
  if (!/^[\da-f]+$/i.test(value) || value.length !== digits) {
    throw usage(
      `--${algo} is "${value.slice(0, 140)}"; give ${digits} hex digits, or the URL of a file with digests`,
    )
  }
  return given
}

/** @throws InvalidCommandParamsError for a file that is missing or no JSON */
export async function parseJsonFile(path: string): Promise<unknown> {
  const text = await readInputText(path, 'image_info')
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `${path} is no JSON (${messageOf(cause)}); put the image_info object there`,
      { cause },
    )
  }
}

export function usage(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}

/** The last part of its path, as Ironic names images. */
function nameOf(url: string): string {
  const name = URL.canParse(url) ? basename(new URL(url).pathname) : ''
  try {
    return decodeURIComponent(name) || 'image'
  } catch {
    return name
  }
}

/** A URL is fetched later, a file goes along. */
async function torrentOf(text: string): Promise<unknown> {
  if (/^[a-z]+:\/\//i.test(text)) return text
  const { bytes } = await readTorrentFile(text)
  return { metainfo: Buffer.from(bytes).toString('base64') }
}
