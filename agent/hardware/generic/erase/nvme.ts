// SPDX-License-Identifier: Apache-2.0
// Owns erasing an NVMe namespace by the drive's own Format NVM command (contract 7.3; NVM Express Base
// 2.0 §5.14), by nvme-cli. Does not overwrite; the caller does where this is not supported.
import { AgentError, messageOf } from '../../../core/errors.ts'
import { isObject } from '../../../core/json.ts'
import type { EraseOptions } from '../../../disk/erase.ts'
import { assertNotInUse } from '../../../disk/in-use.ts'
import type { Root } from '../../../system/root.ts'

/** What the controller can do, as far as erasing goes. */
export interface NvmeAbilities {
  readonly canFormat: boolean
  readonly canCryptoErase: boolean
  /** A format of one namespace erases all of the controller. */
  readonly erasesAllNamespaces: boolean
}

/** Seconds on most drives; those that overwrite their flash take hours. */
const FORMAT_TIMEOUT_MS = 24 * 3_600_000

/** Bits of oacs and fna (NVM Express Base 2.0 figure 275). */
const OACS_FORMAT = 0x2
const FNA_FORMAT_ALL = 0x1
const FNA_ERASE_ALL = 0x2
const FNA_CRYPTO = 0x4

/** Parses `nvme id-ctrl -o json`. Throws BlockDeviceEraseError. */
export function parseNvmeAbilities(text: string): NvmeAbilities {
  let controller: unknown
  try {
    controller = JSON.parse(text)
  } catch {
    controller = undefined
  }
  const { oacs, fna } = isObject(controller) ? controller : {}
  if (typeof oacs !== 'number' || typeof fna !== 'number') {
    throw new AgentError('BlockDeviceEraseError', 'nvme id-ctrl gave no numbers for oacs and fna')
  }
  return {
    canFormat: (oacs & OACS_FORMAT) !== 0,
    canCryptoErase: (fna & FNA_CRYPTO) !== 0,
    erasesAllNamespaces: (fna & (FNA_FORMAT_ALL | FNA_ERASE_ALL)) !== 0,
  }
}

/**
 * Formats the namespace, by a new key if the drive encrypts, else by erasing the cells.
 * @returns how it was erased; undefined if the drive cannot, or if it could only together with other
 *   namespaces, which may be none of ours
 * @throws TargetInUseError; BlockDeviceEraseError if nvme-cli fails
 */
export async function eraseNvmeSecurely(
  path: string,
  options: EraseOptions,
): Promise<string | undefined> {
  const { exec, root, log, signal } = options
  await assertNotInUse(options.root, path)
  try {
    const { stdout } = await exec(['nvme', 'id-ctrl', path, '-o', 'json'], { signal })
    const abilities = parseNvmeAbilities(stdout)
    if (!abilities.canFormat) return undefined
    if (abilities.erasesAllNamespaces && (await hasSiblings(root, path))) {
      log.warn({ device: path }, 'format would erase every namespace of the controller, not done')
      return undefined
    }
    const setting = abilities.canCryptoErase ? '2' : '1'
    const timeoutMs = FORMAT_TIMEOUT_MS
    await exec(['nvme', 'format', path, '-s', setting, '-f'], { signal, timeoutMs })
    return abilities.canCryptoErase ? 'nvme cryptographic erase' : 'nvme user data erase'
  } catch (error) {
    throw new AgentError(
      'BlockDeviceEraseError',
      `secure erase of ${path} by nvme-cli failed: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

/** Other namespaces of the same controller: nvme0n2 beside nvme0n1. */
async function hasSiblings(root: Root, path: string): Promise<boolean> {
  const own = path.replace('/dev/', '')
  const controller = /^nvme\d+/.exec(own)?.[0]
  const names = await root.list('/sys/class/block')
  return names.some((name) => name !== own && /^(nvme\d+)n\d+$/.exec(name)?.[1] === controller)
}
