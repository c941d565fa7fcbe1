// SPDX-License-Identifier: Apache-2.0
// Owns making an ext4 file system from a list of files, the same bytes each time. mke2fs -d would keep
// the build machine's directory order and change times (e2fsprogs 1.47.0), so debugfs writes the files
// in the order given, with the image's clock.
import { writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { IMAGE_EPOCH_SECONDS, run } from './run.ts'

export interface TreeEntry {
  /** Absolute path inside of the file system. */
  readonly path: string
  readonly kind: 'directory' | 'file' | 'link'
  /** File: where its content lies on the build machine. Link: its target. */
  readonly source?: string
  readonly isExecutable?: boolean
}

export interface Ext4Options {
  readonly label: string
  readonly uuid: string
  readonly sizeBytes: number
}

const BLOCK_BYTES = 4096

/** Makes the file `imagePath`. Throws if the content does not fit or debugfs complains. */
export async function makeExt4(
  imagePath: string,
  entries: readonly TreeEntry[],
  options: Ext4Options,
): Promise<void> {
  const env = { E2FSPROGS_FAKE_TIME: String(IMAGE_EPOCH_SECONDS) }
  const blocks = Math.floor(options.sizeBytes / BLOCK_BYTES)
  const features = `hash_seed=${options.uuid},lazy_itable_init=0,nodiscard,root_owner=0:0`
  await writeFile(imagePath, '')
  await run(
    // biome-ignore format: one flag and its value per pair
    ['mke2fs', '-q', '-F', '-t', 'ext4', '-b', String(BLOCK_BYTES), '-L', options.label,
      '-U', options.uuid, '-m', '0', '-i', '32768', '-O', '^has_journal,^resize_inode', '-E', features,
      imagePath, String(blocks)],
    { env },
  )
  const script = `${imagePath}.debugfs`
  await writeFile(script, debugfsScript(entries))
  const { stdout, stderr } = await run(['debugfs', '-w', '-f', script, imagePath], { env })
  // debugfs exits 0 whatever happens; its complaints are the lines that neither greet nor echo
  const complaint = `${stdout}\n${stderr}`
    .split('\n')
    .find(
      (line) => line !== '' && !/^(debugfs[: ]|Allocated inode: |Setting current time)/.test(line),
    )
  if (complaint) throw new Error(`debugfs: ${complaint}`)
  await run(['e2fsck', '-f', '-n', imagePath], { env })
}

function debugfsScript(entries: readonly TreeEntry[]): string {
  const lines = [`set_current_time @${IMAGE_EPOCH_SECONDS}`]
  let folder = ''
  const enter = (path: string) => {
    if (path !== folder) lines.push(`cd ${quoted(path)}`)
    folder = path
  }
  for (const { path, kind, source, isExecutable } of entries) {
    const name = path.slice(path.lastIndexOf('/') + 1)
    enter(dirname(path))
    if (kind === 'directory') lines.push(`mkdir ${quoted(name)}`)
    if (kind === 'link') lines.push(`symlink ${quoted(name)} ${quoted(source ?? '')}`)
    if (kind === 'file') {
      lines.push(`write ${quoted(source ?? '')} ${quoted(name)}`)
      lines.push(`sif ${quoted(name)} mode ${isExecutable ? '0100755' : '0100644'}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function quoted(word: string): string {
  if (/["\n]/.test(word)) throw new Error(`debugfs cannot take the name ${JSON.stringify(word)}`)
  return `"${word}"`
}
