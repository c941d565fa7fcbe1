// SPDX-License-Identifier: Apache-2.0
// Owns packing images by the programs that people pack them with. Does not unpack.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { type DiskImage, describeImage } from '../disk-image.ts'

const run = promisify(execFile)

/** Programs and what they are told; each writes to stdout. */
export const PACKERS = {
  zstd: ['zstd', '-q', '-c'],
  'zstd without checksum': ['zstd', '-q', '-c', '--no-check'],
  'zstd --long=27': ['zstd', '-q', '-c', '--long=27', '-1'],
  'zstd --ultra --long=31': ['zstd', '-q', '-c', '--ultra', '--long=31', '-1'],
  pzstd: ['pzstd', '-q', '-c', '-p', '4'],
  gzip: ['gzip', '-c'],
  pigz: ['pigz', '-c', '-p', '4'],
  bgzip: ['bgzip', '-c'],
  xz: ['xz', '-c', '-1'],
  'xz of several blocks': ['xz', '-c', '-1', '--block-size=4MiB', '-T2'],
  bzip2: ['bzip2', '-c'],
} as const satisfies Record<string, readonly [string, ...string[]]>

export type Packer = keyof typeof PACKERS

/** Packs the file beside itself; the packed file, described. Throws what the program complains of. */
export async function packImage(path: string, packer: Packer): Promise<DiskImage> {
  const [program, ...args] = PACKERS[packer]
  const packed = `${path}.${packer.replaceAll(/[^a-z0-9]+/g, '-')}`
  await runTo(packed, program, [...args, path])
  return await describeImage(packed)
}

/** Converts the raw file by qemu-img beside itself; the new file, described. Throws what the program complains of. */
export async function convertImage(
  path: string,
  driver: string,
  options: readonly string[] = [],
): Promise<DiskImage> {
  const converted = `${path}.${driver}`
  await run('qemu-img', ['convert', '-f', 'raw', '-O', driver, ...options, path, converted])
  return await describeImage(converted)
}

/** Runs a program with its stdout in a file. */
export async function runTo(path: string, program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  const complaints: Buffer[] = []
  child.stderr.on('data', (part: Buffer) => complaints.push(part))
  await pipeline(child.stdout, createWriteStream(path))
  const [code] = (await ended) as [number]
  if (code === 0) return
  throw new Error(`${program} ended with ${code}: ${Buffer.concat(complaints).toString()}`)
}

/** A frame of zstd that decoders pass over (RFC 8878 §3.1.2). */
export function skippableFrame(contentBytes: number, variant = 0): Buffer {
  const frame = Buffer.alloc(8 + contentBytes, 0x53)
  frame.writeUInt32LE(0x184d2a50 + variant, 0)
  frame.writeUInt32LE(contentBytes, 4)
  return frame
}
