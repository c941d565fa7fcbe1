// SPDX-License-Identifier: Apache-2.0
// Owns the run directory: small files that let a restarted process go on as the same agent (token, TLS
// key, command results). Root-only, replaced atomically. Does not know what is in the files.
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AgentError, messageOf, systemErrorCode } from '../core/errors.ts'

/** Synchronous: the files are small, on a tmpfs, and nobody may hear of a state before it is kept. */
export interface RunState {
  readonly directory: string
  /** Undefined if there is no such file. Throws InvalidConfigError if it cannot be read. */
  read(name: string): string | undefined
  /** Replaces the file; a reader sees the old or the new text, never a part. Throws InvalidConfigError. */
  write(name: string, text: string): void
  remove(name: string): void
}

/** Makes `directory` (0700) on the first write. */
export function openRunState(directory: string): RunState {
  const pathOf = (name: string) => join(directory, name)
  return {
    directory,
    read: (name) => {
      try {
        return readFileSync(pathOf(name), 'utf8')
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') return undefined
        throw unusable(directory, error)
      }
    },
    write: (name, text) => {
      const temporary = pathOf(`.${name}.${randomBytes(4).toString('hex')}`)
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 })
        // an existing directory keeps its mode in mkdir
        chmodSync(directory, 0o700)
        writeFileSync(temporary, text, { mode: 0o600, flag: 'wx' })
        renameSync(temporary, pathOf(name))
      } catch (error) {
        removeQuietly(temporary)
        throw unusable(directory, error)
      }
    },
    remove: (name) => rmSync(pathOf(name), { force: true }),
  }
}

/** After a failure whose own error matters more. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // the directory itself is gone or is none
  }
}

function unusable(directory: string, error: unknown): AgentError {
  return new AgentError(
    'InvalidConfigError',
    `run_dir ${directory} is not usable (${messageOf(error)}); free space there or set --run-dir`,
    { cause: error },
  )
}
