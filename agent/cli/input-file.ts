// SPDX-License-Identifier: Apache-2.0
// Owns the files that a person names to be read: known to be readable before long work begins, and small ones read
// whole, to a limit. What may be in them is their readers'.
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { AgentError, messageOf } from '../core/errors.ts'
import { formatBytes, MiB } from '../core/units.ts'

/** A config drive of 64 MiB, gzipped, in base64, with room for what stands around it. */
const MOST_TEXT_BYTES = 128 * MiB

/**
 * Throws InvalidCommandParamsError unless the path is a file with bytes in it, or a block device, that may be read.
 * @param orElse what else might have been given
 */
export async function requireReadable(path: string, orElse?: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause, orElse)
  })
  // to open a pipe would wait for somebody at its other end
  if (!(found.isFile() || found.isBlockDevice())) {
    throw new AgentError('InvalidCommandParamsError', `${path} is neither a file nor a device`)
  }
  if (found.isFile() && found.size === 0) {
    throw new AgentError('InvalidCommandParamsError', `${path} is empty`)
  }
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  await file.close()
}

/**
 * All of a file that is read at once; it may be a pipe.
 * @param what it is to be, for the message
 * @throws InvalidCommandParamsError if it cannot be read, or has more than `mostBytes`
 */
export async function readInput(path: string, what: string, mostBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of createReadStream(path)) {
      length += part.length
      if (length > mostBytes) break
      parts.push(part)
    }
  } catch (cause) {
    throw unreadable(path, cause)
  }
  if (length <= mostBytes) return Buffer.concat(parts)
  throw new AgentError(
    'InvalidCommandParamsError',
    `${path} is too long to be ${what}: more than ${formatBytes(mostBytes)}`,
  )
}

/** UTF-8. Throws as {@link readInput} does. */
export async function readInputText(path: string, what: string): Promise<string> {
  return (await readInput(path, what, MOST_TEXT_BYTES)).toString('utf8')
}

function unreadable(path: string, cause: unknown, orElse?: string): AgentError {
  const rest = orElse === undefined ? '' : `; ${orElse}`
  const details = `cannot read ${path}: ${messageOf(cause)}${rest}`
  return new AgentError('InvalidCommandParamsError', details, { cause })
}
