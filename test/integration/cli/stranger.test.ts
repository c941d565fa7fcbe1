// SPDX-License-Identifier: Apache-2.0
// What somebody meets who has not read the pages: breaking off, wrong words, readers that leave.
import { execFile } from 'node:child_process'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'
import { run, start } from './ironswarm.ts'

const MiB = 1024 * 1024

test('Ctrl-C while the file is read for its digest says that the disk is as it was', async () => {
  await using directory = await temporaryDirectory()
  const image = await makeDiskImage(join(directory.path, 'image.raw'), { sizeBytes: 8 * MiB })
  // sparse: takes no room, and long to read
  await truncate(image.path, 64 * 1024 * MiB)
  const disk = join(directory.path, 'disk')
  await writeFile(disk, '')
  await truncate(disk, 65 * 1024 * MiB)
  const { child, finished, says } = start(['write', image.path, disk])
  await says(/hashing/)
  child.kill('SIGINT')
  const { code, stderr } = await finished
  expect(code).toBe(130)
  expect(stderr).toContain(`interrupted by Ctrl-C. ${disk} is as it was`)
}, 120_000)

test.each([
  [['torrent', 'nosuch'], "unknown command 'nosuch'; see ironswarm torrent --help"],
  [['config', 'nosuch'], 'Expected 0 arguments but got 1: nosuch; see ironswarm config --help'],
])('%j says whose --help helps', async (words, expected) => {
  const { code, stderr } = await run(...words)
  expect(code).toBe(2)
  expect(stderr).toContain(expected)
})

test('a watch that nobody reads any longer is over', async () => {
  const command = `${AGENT_COMMAND.join(' ')} watch --json --interval 0.5 127.0.0.1:1 | head -n 1`
  const { stdout } = await promisify(execFile)('bash', ['-c', command], { timeout: 100_000 })
  expect(JSON.parse(stdout)).toHaveProperty('nodes')
}, 120_000)
