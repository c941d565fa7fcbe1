// SPDX-License-Identifier: Apache-2.0
// Owns paths of the operating system: every read of /proc, /sys and /etc goes through a Root, so that
// tests and laboratories can show the agent another machine's tree.
import { createReadStream } from 'node:fs'
import { readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { systemErrorCode } from '../core/errors.ts'

/** A file tree that looks like `/`. Missing things are undefined or empty, never an exception. */
export interface Root {
  /** The real path of an absolute path of that tree. */
  path(absolute: string): string
  /**
   * Text without trailing white space; undefined if it cannot be read.
   * @throws RangeError if it is longer than `mostBytes`, where they are given: for a path that somebody names
   */
  readText(absolute: string, mostBytes?: number): Promise<string | undefined>
  /** Names in a directory, sorted; empty if there is none. */
  list(absolute: string): Promise<string[]>
  /** Last component of the symlink's target: how sysfs names drivers. */
  linkName(absolute: string): Promise<string | undefined>
  /** The path behind all symlinks, inside of the tree where that is possible. */
  resolve(absolute: string): Promise<string | undefined>
}

/** @param prefix `/` for the machine itself, else the directory that stands for it */
export function createRoot(prefix: string): Root {
  const path = (absolute: string) => join(prefix, absolute)
  return {
    path,
    readText: async (absolute, mostBytes) => {
      const read = async () =>
        mostBytes === undefined
          ? await readFile(path(absolute), 'utf8')
          : await readUpTo(path(absolute), mostBytes)
      return (await orUndefined(read()))?.trimEnd()
    },
    list: async (absolute) => ((await orUndefined(readdir(path(absolute)))) ?? []).sort(),
    linkName: async (absolute) => (await orUndefined(readlink(path(absolute))))?.split('/').at(-1),
    resolve: (absolute) => orUndefined(realpath(path(absolute))),
  }
}

/** It may be a device without end, or a pipe. Throws RangeError. */
async function readUpTo(path: string, mostBytes: number): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of createReadStream(path, { end: mostBytes })) {
    length += part.length
    parts.push(part)
  }
  if (length <= mostBytes) return Buffer.concat(parts).toString('utf8')
  throw new RangeError(`${path} is longer than ${mostBytes} bytes`)
}

/** sysfs answers EINVAL, EIO or ENODEV for attributes a driver does not fill: the same as absent. */
async function orUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined
    throw error
  }
}
