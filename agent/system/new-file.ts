// SPDX-License-Identifier: Apache-2.0
// Owns files that a person asks for: written whole or not at all, and never over what is there unless that
// was said. Does not know what is in them.
import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import {
  access,
  type FileHandle,
  link,
  lstat,
  open,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AgentError, isAgentError, messageOf, systemErrorCode } from '../core/errors.ts'
import type { Root } from './root.ts'
import { listLoopBackings } from './sysfs.ts'

export interface NewFile {
  readonly path: string
  /** What the content is made from: never written to, however both are named. */
  readonly madeFrom: string
  /** A file that is there may be replaced. */
  readonly isForced: boolean
}

/**
 * To be asked before the work, and asked again by {@link writeNewFile}.
 * @throws InvalidCommandParamsError for what `madeFrom` is or lies on, by whatever link; for a device or
 *   folder; for a file that is there, unless forced; for a folder that is not there
 *   or takes no file
 */
export async function checkNewFile(
  root: Root,
  { path, madeFrom, isForced }: NewFile,
): Promise<void> {
  const found = await statOf(path)
  if (found !== undefined) {
    const source = await statOf(madeFrom)
    if (source !== undefined && isSame(found, source))
      throw refusal(`${path} is ${madeFrom} itself`)
    const loops = await loopsOn(root, path)
    if (loops.length > 0) throw refusal(`${path} is what ${loops.join(', ')} shows`)
    if (!found.isFile()) throw refusal(`${path} is no regular file`)
  }
  const isThere = found !== undefined || (await isNamed(path))
  if (isThere && !isForced) throw refusal(`${path} is there already`, 'or say --force')
  const folder = await statOf(dirname(path))
  if (!folder?.isDirectory()) throw refusal(`there is no folder ${dirname(path)}`, 'or make it')
  await access(dirname(path), constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw refusal(`nothing can be made in ${dirname(path)} (${messageOf(cause)})`)
  })
}

/** Throws what checkNewFile throws, or InvalidCommandParamsError with the system's words. */
export async function writeNewFile(root: Root, file: NewFile, content: Uint8Array): Promise<void> {
  await fillNewFile(root, file, (handle) => handle.writeFile(content))
}

/**
 * For content that comes by and by: the file has its name once `fill` has ended, and is gone if that fails. Resolves
 * to what `fill` does. Throws as writeNewFile does, and every AgentError of `fill` as it is.
 * @param fill writes from the beginning on; it may read what it wrote
 */
export async function fillNewFile<T>(
  root: Root,
  file: NewFile,
  fill: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  await checkNewFile(root, file)
  const { path, isForced } = file
  const unfinished = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    const filled = await fillAndSync(unfinished, fill)
    if (isForced) await rename(unfinished, path)
    else await nameOnce(unfinished, path)
    return filled
  } catch (cause) {
    if (isAgentError(cause)) throw cause
    throw new AgentError('InvalidCommandParamsError', `cannot write ${path}: ${messageOf(cause)}`, {
      cause,
    })
  } finally {
    // why it failed matters more than what cannot be removed
    await rm(unfinished, { force: true }).catch(() => undefined)
  }
}

async function fillAndSync<T>(path: string, fill: (handle: FileHandle) => Promise<T>): Promise<T> {
  await using handle = await open(path, 'wx+')
  const filled = await fill(handle)
  await handle.sync()
  return filled
}

/** link(2) fails where somebody else has made the name meanwhile; file systems without links get a rename. */
async function nameOnce(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemErrorCode(error) ?? ''))
      throw error
    await rename(from, to)
  }
}

/** What the path leads to; undefined if that is nothing. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch {
    return undefined
  }
}

/** A link that leads nowhere is there, too. */
async function isNamed(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}

function isSame(one: Stats, other: Stats): boolean {
  const isDevice = one.isBlockDevice() && other.isBlockDevice()
  return isDevice ? one.rdev === other.rdev : one.dev === other.dev && one.ino === other.ino
}

/** Loop devices that this file is behind. */
async function loopsOn(root: Root, path: string): Promise<string[]> {
  const file = await realpath(path)
  const backings = await listLoopBackings(root)
  return backings.filter((backing) => backing.file === file).map(({ name }) => `/dev/${name}`)
}

function refusal(what: string, orElse?: string): AgentError {
  const advice = ['name another file', ...(orElse === undefined ? [] : [orElse])].join(', ')
  return new AgentError('InvalidCommandParamsError', `${what}; ${advice}`)
}
