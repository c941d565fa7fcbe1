// SPDX-License-Identifier: Apache-2.0
// Owns reading a FAT file system at an offset of a disk with mtools: nothing is mounted, no partition
// node is needed. Writes nothing.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { throwIfAborted } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import type { Exec } from '../system/exec.ts'
import { startFilter } from '../system/filter.ts'

export interface FatReader {
  /**
   * Paths of all files, `EFI/BOOT/BOOTX64.EFI`, in the order of the directories; hidden ones and those of the
   * system too, for firmware takes no notice of these attributes. A folder that cannot be read has none.
   */
  listFiles(signal?: AbortSignal): Promise<string[]>
  /** The first `maxBytes` of a file. */
  readFile(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array>
  /** All bytes of a file, as they are asked for. Throws ProcessError, CancelledError. */
  readBytes(path: string, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** mdir's complaint about a root directory without entries. */
const EMPTY = 'File "::" not found'
/** A read of a slow disk. */
const READ_SILENCE_MS = 60_000
/** Folders looked into one by one, once one of them has ended mdir; an ESP has a dozen. */
const MOST_FOLDERS = 256

/** @param offset of the file system on the whole disk, bytes */
export function createFatReader(exec: Exec, devicePath: string, offset: number): FatReader {
  return new Reader(exec, devicePath, offset)
}

/** The checks want a floppy's geometry. */
const ENV = { MTOOLS_SKIP_CHECK: '1' }

class Reader implements FatReader {
  readonly #exec: Exec
  readonly #drive: string
  readonly #where: string

  constructor(exec: Exec, devicePath: string, offset: number) {
    this.#exec = exec
    this.#drive = `${devicePath}@@${offset}`
    this.#where = `offset ${offset} of ${devicePath}`
  }

  async listFiles(signal?: AbortSignal): Promise<string[]> {
    const all = await this.#mdir(['-/', '::'], signal)
    if (all.isWhole) return parseListing(all.lines)
    const root = await this.#mdir(['::'], signal)
    if (!root.isWhole) {
      throw new AgentError(
        'ProcessError',
        `mdir cannot read a FAT file system at ${this.#where}: ${root.stderr.trim().slice(-300)}`,
      )
    }
    return await this.#listEach(root.lines, signal)
  }

  async readFile(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    const folder = await mkdtemp(join(tmpdir(), 'ironswarm-fat-'))
    try {
      const copy = join(folder, 'file')
      await this.#exec(['mcopy', '-n', '-i', this.#drive, `::/${escapeWildcards(path)}`, copy], {
        env: ENV,
        ...(signal ? { signal } : {}),
      })
      await using handle = await open(copy)
      const { buffer, bytesRead } = await handle.read(new Uint8Array(maxBytes), 0, maxBytes, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  async *readBytes(path: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const argv = ['mtype', '-i', this.#drive, `::/${escapeWildcards(path)}`] as const
    const options = { silenceMs: READ_SILENCE_MS, signal, env: ENV }
    await using program = startFilter([...argv], options)
    program.end()
    yield* program.output
    const { exitCode, stderr } = await program.ended
    throwIfAborted(signal)
    if (exitCode === 0) return
    throw new AgentError('ProcessError', `mtype: exit code ${exitCode}: ${stderr.slice(-300)}`)
  }

  /** One folder that cannot be read ends a listing of all; the files in the others are as good. */
  async #listEach(root: string, signal: AbortSignal | undefined): Promise<string[]> {
    const files = parseListing(root)
    const folders = parseFolders(root)
    for (let i = 0; i < Math.min(folders.length, MOST_FOLDERS); i++) {
      const folder = folders[i] as string
      const { lines } = await this.#mdir([`::/${escapeWildcards(folder)}`], signal)
      files.push(...parseListing(lines))
      folders.push(...parseFolders(lines).filter((path) => !folders.includes(path)))
    }
    return files
  }

  async #mdir(args: readonly string[], signal: AbortSignal | undefined) {
    const argv = ['mdir', '-a', '-b', '-i', this.#drive, ...args] as const
    const { stdout, stderr, exitCode } = await this.#exec(argv, {
      env: ENV,
      okExitCodes: [0, 1],
      ...(signal ? { signal } : {}),
    })
    return { lines: stdout, stderr, isWhole: exitCode === 0 || stderr.includes(EMPTY) }
  }
}

/** Lines `::/EFI/BOOT/BOOTX64.EFI`; directories end with a slash. */
export function parseListing(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('::/') && !line.endsWith('/'))
    .map((line) => line.slice('::/'.length))
}

function parseFolders(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('::/') && line.endsWith('/'))
    .map((line) => line.slice('::/'.length, -1))
}

/** mtools takes names for patterns. */
function escapeWildcards(path: string): string {
  return path.replaceAll(/[[\]*?\\]/g, '\\$&')
}
