// SPDX-License-Identifier: Apache-2.0
// Owns rebuilding a config drive as vfat, for disks whose sectors its own file system cannot live on
// (contract 5.3.8). mkfs.vfat and mtools work on a scratch file; nothing is mounted.
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { AgentError, isAgentError, messageOf } from '../../core/errors.ts'
import { KiB, MiB, roundDown } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import { assertScratchSpace } from '../../system/scratch.ts'
import type { ByteParts } from './decode.ts'
import { isIso9660, readIsoTree, type TreeEntry } from './iso9660.ts'

/** An ISO 9660 block; a disk with larger sectors cannot be mounted as one. */
const ISO_BLOCK_BYTES = 2048
const VOLUME_NAME = 'CONFIG-2'

/**
 * True if the image that begins so cannot be mounted from a disk with sectors of this size.
 * @param head its first 64 KiB
 */
export function needsRebuild(head: Uint8Array, sectorBytes: number): boolean {
  if (isIso9660(head)) return sectorBytes > ISO_BLOCK_BYTES
  const fatSector = fatSectorBytes(head)
  return fatSector !== undefined && sectorBytes > fatSector
}

/** Sector size in the boot sector of a FAT file system; undefined if it is none. */
function fatSectorBytes(image: Uint8Array): number | undefined {
  const view = Buffer.from(image.buffer, image.byteOffset, Math.min(image.length, 512))
  if (view.length < 512 || view.readUInt16LE(510) !== 0xaa55) return undefined
  const hasName =
    view.toString('latin1', 54, 57) === 'FAT' || view.toString('latin1', 82, 85) === 'FAT'
  return hasName ? view.readUInt16LE(11) : undefined
}

export interface RebuildRequest {
  readonly image: Uint8Array
  readonly exec: Exec
  /** Size of the new file system, bytes. */
  readonly sizeBytes: number
  /** Logical sectors of the disk it is for. */
  readonly sectorBytes: number
}

/**
 * A vfat file system with the same files, in a scratch file until disposal.
 * Throws DeploymentError if the image is neither ISO 9660 nor FAT, or does not fit.
 */
export async function rebuildAsVfat(request: RebuildRequest): Promise<ByteParts & AsyncDisposable> {
  const { image, sizeBytes } = request
  // in RAM, in the ramdisk: the new file system, the old one and its files
  await assertScratchSpace(tmpdir(), sizeBytes + 2 * image.length)
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-configdrive-'))
  const removeFolder = () => rm(folder, { recursive: true, force: true })
  try {
    const file = join(folder, 'vfat')
    await makeVfat(request, await readTree(request, folder), file)
    return await openScratchFile(file, removeFolder)
  } catch (error) {
    await removeFolder()
    if (isAgentError(error, 'DeploymentError')) throw error
    throw new AgentError(
      'DeploymentError',
      `cannot rebuild the config drive as vfat: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

async function openScratchFile(
  path: string,
  remove: () => Promise<void>,
): Promise<ByteParts & AsyncDisposable> {
  const handle = await open(path)
  const { size } = await handle.stat()
  return {
    sizeBytes: size,
    parts: async function* () {
      const buffer = new Uint8Array(MiB)
      for (let at = 0; at < size; ) {
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
        if (bytesRead === 0) throw new Error(`${path} ends at ${at}`)
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    },
    [Symbol.asyncDispose]: async () => {
      await handle.close()
      await remove()
    },
  }
}

async function makeVfat(
  { exec, sizeBytes, sectorBytes }: RebuildRequest,
  tree: readonly TreeEntry[],
  file: string,
): Promise<void> {
  const kibibytes = String(roundDown(sizeBytes, MiB) / KiB)
  await exec(['mkfs.vfat', '-n', VOLUME_NAME, '-S', String(sectorBytes), '-C', file, kibibytes])
  const mtools = mtoolsOn(exec, file)
  for (const { path, bytes } of tree) {
    if (bytes === null) await mtools(['mmd', '-D', 's'], [`::/${path}`])
    else await mtools(['mcopy', '-D', 'o'], ['-', `::/${path}`], bytes)
  }
}

async function readTree(
  { image, exec }: RebuildRequest,
  folder: string,
): Promise<readonly TreeEntry[]> {
  if (isIso9660(image)) return readIsoTree(image)
  if (fatSectorBytes(image) === undefined) {
    throw new AgentError(
      'DeploymentError',
      'the config drive cannot be rebuilt as vfat: it is neither ISO 9660 nor FAT',
    )
  }
  const [source, files] = [join(folder, 'source'), join(folder, 'files')]
  await writeFile(source, image)
  await mkdir(files)
  await mtoolsOn(exec, source)(['mcopy', '-s', '-n'], ['::/', files])
  return await readFolder(files)
}

/** FAT knows no links: what mcopy wrote is files and directories. */
async function readFolder(folder: string): Promise<TreeEntry[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const tree: TreeEntry[] = []
  for (const entry of entries) {
    const full = join(entry.parentPath, entry.name)
    const path = relative(folder, full)
    if (entry.isDirectory()) tree.push({ path, bytes: null })
    else if (entry.isFile()) tree.push({ path, bytes: await readFile(full) })
  }
  return tree.sort((a, b) => (a.path < b.path ? -1 : 1))
}

type Mtools = (
  command: readonly [string, ...string[]],
  args: readonly string[],
  input?: Uint8Array,
) => Promise<void>

function mtoolsOn(exec: Exec, file: string): Mtools {
  return async ([name, ...options], args, input) => {
    await exec([name, ...options, '-i', file, ...args], {
      // the checks want a floppy's geometry
      env: { MTOOLS_SKIP_CHECK: '1' },
      ...(input === undefined ? {} : { input }),
    })
  }
}
