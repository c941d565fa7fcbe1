// The commands that stand on the pages are run as a reader would, one block after the other, on an image server, a
// disk and an Ironic that are there.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { createPagesLab, type PagesLab } from '../../support/pages/pages-lab.ts'
import { shellBlocksOf } from '../../support/pages/shell-blocks.ts'

const canRun =
  hasLoopDevices('the commands of the pages') &&
  (['agent', 'ironic', 'pages'] as const).every((set) => hasPackages(set))
const START_MS = 600_000
const BLOCK_MS = 330_000

const files = ['README.md', 'CONTRIBUTING.md', 'docs/*.md']
const pages = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', ...files],
  {
    encoding: 'utf8',
  },
)
  .trim()
  .split('\n')
  .map((path) => ({ path, blocks: shellBlocksOf(readFileSync(path, 'utf8')) }))
  .filter(({ blocks }) => blocks.length > 0)

describe.runIf(canRun)('the commands of', () => {
  let lab: PagesLab
  beforeAll(async () => {
    lab = await createPagesLab()
  }, START_MS)
  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
  }, START_MS)

  for (const { path, blocks } of pages) {
    describe(path, () => {
      beforeAll(async () => await lab.turn(), START_MS)
      test.each(blocks)('from line $line on end well', { timeout: BLOCK_MS }, async (block) => {
        expect(await lab.run(block), block.script).toBeUndefined()
      })
    })
  }
})
