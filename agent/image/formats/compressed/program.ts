// SPDX-License-Identifier: Apache-2.0
// Owns xz and bzip2: unpacked by Debian's programs, each in a process of its own. Both read several streams behind
// each other. Does not decode.
/// <reference lib="esnext.disposable" />
import { AgentError } from '../../../core/errors.ts'
import { formatBytes, MiB } from '../../../core/units.ts'
import { type FilterEnd, startFilter } from '../../../system/filter.ts'
import type { UnpackInOrder } from '../unpacker.ts'
import { createImageOutput } from './image-output.ts'

/** A block of 16 MiB that decodes at 1 MiB/s, and room for a machine that is busy. */
const SILENCE_MS = 120_000
/** What xz may take; -9 needs 65 MiB, and this agent runs beside it. */
const MOST_XZ_BYTES = 96 * MiB

/** xz(1), from stdin to stdout, within its memory. */
export const XZ_ARGV = [
  'xz',
  '--decompress',
  '--stdout',
  '--threads=1',
  `--memlimit-decompress=${MOST_XZ_BYTES}`,
] as const
/** bzip2(1), from stdin to stdout. */
export const BZIP2_ARGV = ['bzip2', '--decompress', '--stdout'] as const

/**
 * Unpacks .xz (xz-file-format 1.2.1). xz takes up to 96 MiB of memory; a file that needs more is refused.
 */
export const unpackXz: UnpackInOrder = unpackBy('xz', XZ_ARGV)

/** Unpacks .bz2. bzip2 takes about 4 MiB of memory. */
export const unpackBzip2: UnpackInOrder = unpackBy('bzip2', BZIP2_ARGV)

function unpackBy(format: 'xz' | 'bzip2', argv: readonly [string, ...string[]]): UnpackInOrder {
  return async (request) => {
    const { signal } = request
    const output = createImageOutput({ ...request, format })
    await using program = startFilter(argv, { silenceMs: SILENCE_MS, signal })
    let givenBytes = 0
    const feed = async () => {
      for await (const { bytes } of request.chunks) {
        if (!(await program.write(bytes))) return
        givenBytes += bytes.length
      }
      program.end()
    }
    const drain = async () => {
      for await (const chunk of program.output) await output.push(chunk)
    }
    let failure: { readonly error: unknown } | undefined
    // what fails on one side ends the other
    const orEnd = async (error: unknown) => {
      failure ??= { error }
      await program[Symbol.asyncDispose]()
    }
    await Promise.all([feed().catch(orEnd), drain().catch(orEnd)])
    if (failure) throw (failure as { readonly error: unknown }).error
    const end = await program.ended
    signal.throwIfAborted()
    requireGoodEnd(format, end, givenBytes)
    return await output.finish()
  }
}

/** bzip2 passes over what follows the last stream, and says so. */
function requireGoodEnd(format: string, { exitCode, stderr }: FilterEnd, givenBytes: number): void {
  if (exitCode === 0 && !stderr.includes('trailing garbage')) return
  if (stderr.includes('Memory usage limit')) {
    throw new AgentError(
      'InvalidImage',
      `the ${format} file needs more memory to unpack than the ${formatBytes(MOST_XZ_BYTES)} that are had (${oneLine(stderr)}): ` +
        'pack it with a smaller dictionary (xz -9 or less)',
    )
  }
  const reason = stderr === '' ? `${format} ended with ${exitCode ?? 'a signal'}` : oneLine(stderr)
  throw new AgentError(
    'InvalidImage',
    `the ${format} file is broken, found within its first ${givenBytes} bytes: ${reason}. Its hash is the expected ` +
      `one, so it was made like this: ${format} --test tells the same; make it anew`,
  )
}

function oneLine(stderr: string): string {
  return stderr.replaceAll(/\s+/g, ' ').slice(0, 200)
}
