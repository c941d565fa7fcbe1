// SPDX-License-Identifier: Apache-2.0
// Owns erasing an NVMe namespace by the drive's own commands, Format NVM (contract 7.3; NVM Express Base 2.0 §5.14) or
// Sanitize (sanitize.ts), by nvme-cli. Does not overwrite; the caller does where neither is supported.
import { sleep, throwIfAborted } from '../../../core/deadline.ts'
import { AgentError, messageOf } from '../../../core/errors.ts'
import { isObject } from '../../../core/json.ts'
import type { EraseOptions } from '../../../disk/erase.ts'
import { assertNotInUse } from '../../../disk/in-use.ts'
import type { Root } from '../../../system/root.ts'
import type { Erasure } from './proof.ts'
import { chooseSanitize, sanitizeNvme } from './sanitize.ts'

/** `auto`: format where the drive can, else sanitize. */
export const NVME_METHODS = ['auto', 'format', 'sanitize'] as const
export type NvmeMethod = (typeof NVME_METHODS)[number]

/** What the controller can do, as far as erasing goes. */
export interface NvmeAbilities {
  readonly canFormat: boolean
  readonly canCryptoErase: boolean
  /** A format of one namespace erases all of the controller. */
  readonly erasesAllNamespaces: boolean
  /** Bits of sanicap (figure 275); 0 for a drive that cannot sanitize. */
  readonly sanicap: number
}

/** Seconds on most drives; those that overwrite their flash take hours. */
const FORMAT_TIMEOUT_MS = 24 * 3_600_000
/** Between two looks at how far a format is that goes on after its command. */
const FORMAT_LOOK_MS = 2000

/** Bits of oacs and fna (NVM Express Base 2.0 figure 275). */
const OACS_FORMAT = 0x2
const FNA_FORMAT_ALL = 0x1
const FNA_ERASE_ALL = 0x2
const FNA_CRYPTO = 0x4
/** Bits of fpi. */
const FPI_SUPPORTED = 0x80
const FPI_LEFT = 0x7f
/** Of dlfeat: what is read of a block that is not written. */
const DLFEAT_VALUE = 0x7
const DLFEAT_ZEROS = 0x1

/** Parses `nvme id-ctrl -o json`. Throws BlockDeviceEraseError. */
export function parseNvmeAbilities(text: string): NvmeAbilities {
  let controller: unknown
  try {
    controller = JSON.parse(text)
  } catch {
    controller = undefined
  }
  const { oacs, fna, sanicap } = isObject(controller) ? controller : {}
  if (typeof oacs !== 'number' || typeof fna !== 'number') {
    throw new AgentError('BlockDeviceEraseError', 'nvme id-ctrl gave no numbers for oacs and fna')
  }
  return {
    canFormat: (oacs & OACS_FORMAT) !== 0,
    canCryptoErase: (fna & FNA_CRYPTO) !== 0,
    erasesAllNamespaces: (fna & (FNA_FORMAT_ALL | FNA_ERASE_ALL)) !== 0,
    sanicap: typeof sanicap === 'number' ? sanicap : 0,
  }
}

/**
 * Has the drive erase the namespace: by a new key if it encrypts, else by erasing the cells.
 * @returns what was done, and what the drive says of it; undefined if the drive cannot, or if it could only together
 *   with other namespaces, which may be none of ours
 * @throws TargetInUseError; BlockDeviceEraseError if nvme-cli fails, if the drive says that it failed, and for a method
 *   that was asked for by name and cannot be had
 */
export async function eraseNvmeSecurely(
  path: string,
  options: EraseOptions & { readonly method: NvmeMethod },
): Promise<Erasure | undefined> {
  const { exec, root, signal, method } = options
  await assertNotInUse(root, path)
  try {
    const { stdout } = await exec(['nvme', 'id-ctrl', path, '-o', 'json'], { signal })
    const abilities = parseNvmeAbilities(stdout)
    if (abilities.canFormat && method !== 'sanitize') return await format(path, abilities, options)
    const sanitize = method === 'format' ? undefined : chooseSanitize(abilities.sanicap)
    if (sanitize === undefined) return cannot(method)
    if (await hasSiblings(root, path)) return refuse('sanitize', path, options)
    const how = await sanitizeNvme(path, sanitize, options, () => undefined)
    return { how, promisesZeros: (await readNamespace(path, options)).promisesZeros }
  } catch (error) {
    throwIfAborted(signal)
    throw new AgentError(
      'BlockDeviceEraseError',
      `secure erase of ${path} by nvme-cli failed: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

function cannot(method: NvmeMethod): undefined {
  if (method === 'auto') return undefined
  throw new AgentError('BlockDeviceEraseError', `the drive cannot ${method}, which was asked for`)
}

/** What is wished for by name fails then; else the caller overwrites. */
function refuse(
  what: string,
  path: string,
  { log, method }: EraseOptions & { method: NvmeMethod },
) {
  const reason = `${what} would erase every namespace of the controller`
  if (method !== 'auto') throw new AgentError('BlockDeviceEraseError', `${reason}, not done`)
  log.warn({ device: path }, `${reason}, not done`)
  return undefined
}

async function format(
  path: string,
  abilities: NvmeAbilities,
  options: EraseOptions & { readonly method: NvmeMethod },
): Promise<Erasure | undefined> {
  const { exec, root, signal } = options
  if (abilities.erasesAllNamespaces && (await hasSiblings(root, path))) {
    return refuse('format', path, options)
  }
  const setting = abilities.canCryptoErase ? '2' : '1'
  const timeoutMs = FORMAT_TIMEOUT_MS
  // nvme-cli's own patience is 600 s
  const patience = ['-t', String(timeoutMs)]
  await exec(['nvme', 'format', path, '-s', setting, '-f', ...patience], { signal, timeoutMs })
  const { percentLeft, promisesZeros } = await waitForFormat(path, options)
  const what = abilities.canCryptoErase ? 'cryptographic erase' : 'user data erase'
  const said = percentLeft === undefined ? '' : '; the drive says: formatted to 100 %'
  return { how: `nvme ${what}${said}`, promisesZeros }
}

/** What a namespace says of itself (NVM Command Set 1.0 figure 97). */
export interface NvmeNamespace {
  /** Of what is to be formatted, by fpi; undefined where it does not say. */
  readonly percentLeft: number | undefined
  /** Of blocks that were not written since, by dlfeat. */
  readonly promisesZeros: boolean
}

/** Until nothing is left to format. Throws BlockDeviceEraseError for a format that takes longer than it may. */
async function waitForFormat(path: string, options: EraseOptions): Promise<NvmeNamespace> {
  const end = performance.now() + FORMAT_TIMEOUT_MS
  for (;;) {
    const namespace = await readNamespace(path, options)
    if (!namespace.percentLeft) return namespace
    if (performance.now() > end) {
      throw new AgentError(
        'BlockDeviceEraseError',
        `${namespace.percentLeft} % are not formatted after 24 h`,
      )
    }
    await sleep(FORMAT_LOOK_MS, options.signal)
  }
}

async function readNamespace(path: string, { exec, signal }: EraseOptions): Promise<NvmeNamespace> {
  const answer = await exec(['nvme', 'id-ns', path, '-o', 'json'], { signal }).catch(
    () => undefined,
  )
  throwIfAborted(signal)
  return parseNvmeNamespace(answer?.stdout ?? '')
}

/** Of `nvme id-ns -o json`; any other text says nothing. */
export function parseNvmeNamespace(text: string): NvmeNamespace {
  let namespace: unknown
  try {
    namespace = JSON.parse(text)
  } catch {
    namespace = undefined
  }
  const { fpi, dlfeat } = isObject(namespace) ? namespace : {}
  return {
    percentLeft:
      typeof fpi === 'number' && (fpi & FPI_SUPPORTED) !== 0 ? fpi & FPI_LEFT : undefined,
    promisesZeros: typeof dlfeat === 'number' && (dlfeat & DLFEAT_VALUE) === DLFEAT_ZEROS,
  }
}

/**
 * Other namespaces of the same subsystem, which share its cells: nvme0n2 beside nvme0n1, and nvme1n2 where the kernel
 * shows each controller of a subsystem by itself (`nvme_core.multipath=N`). Another way to the same namespace is none.
 */
async function hasSiblings(root: Root, path: string): Promise<boolean> {
  const own = await readPlace(root, path.replace('/dev/', ''))
  for (const name of await root.list('/sys/class/block')) {
    const other = await readPlace(root, name)
    if (other.controller === undefined || other.name === own.name) continue
    if (other.controller === own.controller) return true
    if (other.subsystem === undefined || other.subsystem !== own.subsystem) continue
    if (other.wwid === undefined || other.wwid !== own.wwid) return true
  }
  return false
}

async function readPlace(root: Root, name: string) {
  const folder = `/sys/class/block/${name}`
  return {
    name,
    // undefined for what is no namespace, as partitions
    controller: /^(nvme\d+)n\d+$/.exec(name)?.[1],
    subsystem: await root.readText(`${folder}/device/subsysnqn`),
    wwid: await root.readText(`${folder}/wwid`),
  }
}
