// SPDX-License-Identifier: Apache-2.0
// Owns `make deb` and `make npm-files`: an installable ironswarm below build/.
//
//   node image-build/package/build.ts deb|npm
import { mkdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { formatBytes } from '../../agent/core/units.ts'
import { runProgram } from '../program.ts'
import { makeDeb } from './deb.ts'
import { makeNpmFiles } from './npm.ts'
import { makePackageTree } from './package-tree.ts'

const PROJECT = join(import.meta.dirname, '../..')
const BUILD = join(PROJECT, 'build')

const MAKERS = { deb: makeDeb, npm: makeNpmFiles } as const

await runProgram('package', async () => {
  const kind = process.argv[2]
  if (kind !== 'deb' && kind !== 'npm') throw new Error('say deb or npm')
  const cache = join(BUILD, 'ramdisk-cache')
  await mkdir(cache, { recursive: true })
  const path = await MAKERS[kind](await makePackageTree(PROJECT, cache), BUILD)
  const { size } = await stat(path)
  console.log(
    kind === 'npm' ? relative(PROJECT, path) : `${relative(PROJECT, path)}: ${formatBytes(size)}`,
  )
})
