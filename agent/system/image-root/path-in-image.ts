// SPDX-License-Identifier: Apache-2.0
// Owns a path below a folder that somebody else has filled: links in it are followed as if that folder were the root,
// so that none leads out of it (openat2(2) has a flag for that, which Node cannot give). Does not mount.
import { constants } from 'node:fs'
import { chmod, type FileHandle, lstat, mkdir, open, readlink, unlink } from 'node:fs/promises'
import { AgentError, systemErrorCode } from '../../core/errors.ts'

/** As many as Linux follows (path_resolution(7)). */
const MOST_LINKS = 40
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
/** A FIFO or a device must not keep us waiting. */
const FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK
const USUAL_FOLDER_MODE = 0o755
const USUAL_FILE_MODE = 0o644

export interface NewFolders {
  /** Of the last folder, where it has to be made. */
  readonly mode: number | undefined
}

/** True where `path` is a folder below `top`. */
export async function isFolderInImage(top: string, path: string): Promise<boolean> {
  try {
    await using _place = await findPlace(top, `${path}/any`)
    return true
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemErrorCode(error) ?? '')) return false
    throw error
  }
}

/**
 * Opens the file for writing, empty; missing folders are made. Throws CommandExecutionError for what is no regular file,
 * and what Linux says.
 */
export async function createInImage(
  top: string,
  path: string,
  newFolders: NewFolders,
): Promise<FileHandle> {
  await using place = await findPlace(top, path, newFolders)
  const file = await open(place.path, FILE, USUAL_FILE_MODE).catch((error: unknown) => {
    throw isSpecial(error) ? noFile(path) : error
  })
  try {
    if (!(await file.stat()).isFile()) throw noFile(path)
    await file.truncate(0)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Removes the file, if there is one; a link itself, not what it leads to. */
export async function removeInImage(top: string, path: string): Promise<void> {
  try {
    await using place = await findPlace(top, path, undefined, 'the link itself')
    await unlink(place.path)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}

interface Place extends AsyncDisposable {
  /** By way of its folder, which is held open. */
  readonly path: string
}

/** Follows links of every part, of the last one too unless it is meant itself. */
async function findPlace(
  top: string,
  path: string,
  newFolders?: NewFolders,
  last: 'what it leads to' | 'the link itself' = 'what it leads to',
): Promise<Place> {
  const walk = createWalk(await open(top, FOLDER & ~constants.O_NOFOLLOW), path)
  const rest = partsOf(path)
  try {
    while (rest.length > 0) {
      const name = rest.shift() as string
      const isLast = rest.length === 0
      const child = walk.childOf(name)
      const target = isLast && last === 'the link itself' ? undefined : await linkAt(child)
      if (target !== undefined) rest.unshift(...(await walk.follow(target)))
      else if (name === '..') await walk.up()
      else if (isLast) return { path: child, [Symbol.asyncDispose]: () => walk.end() }
      else walk.into(await enter(child, newFolders, rest.length === 1))
    }
    throw noFile(path)
  } catch (error) {
    await walk.end()
    throw error
  }
}

/** The folders from the top down to where one is, all of them held open. */
function createWalk(top: FileHandle, path: string) {
  const folders = [top]
  let links = 0
  const leave = async (count: number) => {
    while (folders.length > count) await folders.pop()?.close()
  }
  return {
    childOf: (name: string) => `/proc/self/fd/${folders.at(-1)?.fd}/${name}`,
    into: (folder: FileHandle) => void folders.push(folder),
    up: () => leave(Math.max(1, folders.length - 1)),
    /** The way on. */
    follow: async (target: string) => {
      if (++links > MOST_LINKS) throw tooManyLinks(path)
      if (target.startsWith('/')) await leave(1)
      return partsOf(target)
    },
    end: () => leave(0),
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

async function linkAt(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function enter(
  path: string,
  newFolders: NewFolders | undefined,
  isLeaf: boolean,
): Promise<FileHandle> {
  try {
    return await open(path, FOLDER)
  } catch (error) {
    if (newFolders === undefined || systemErrorCode(error) !== 'ENOENT') throw error
    await mkdir(path)
    const folder = await open(path, FOLDER)
    // whatever the umask takes away
    const mode = (isLeaf ? newFolders.mode : undefined) ?? USUAL_FOLDER_MODE
    await chmod(`/proc/self/fd/${folder.fd}`, mode)
    return folder
  }
}

/** open(2): a FIFO that nobody reads, a node on a file system without nodes, a folder. */
function isSpecial(error: unknown): boolean {
  return ['ENXIO', 'EACCES', 'EISDIR', 'ENODEV'].includes(systemErrorCode(error) ?? '')
}

function noFile(path: string): AgentError {
  return new AgentError('CommandExecutionError', `${path} of the image is no regular file`)
}

function tooManyLinks(path: string): Error {
  return Object.assign(new Error(`more than ${MOST_LINKS} links on the way to ${path}`), {
    code: 'ELOOP',
  })
}
