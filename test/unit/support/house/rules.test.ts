import { describe, expect, test } from 'vitest'
import { circlesOf, houseOf } from '../../../support/house/graph.ts'
import { MOST_FILES_OF_A_FOLDER, MOST_LINES_OF_A_FILE } from '../../../support/house/layers.ts'
import { RULES } from '../../../support/house/rules.ts'

const STATE = 'no module keeps state'
const DEAD = 'every file of the agent is reached from main.ts'

/** What a house of these files breaks, by the rules; unreached files count only where `main.ts` is there. */
function broken(texts: Readonly<Record<string, string>>): Record<string, string[]> {
  const house = houseOf(texts)
  return Object.fromEntries(
    Object.entries(RULES)
      .filter(([sentence]) => sentence !== DEAD || 'agent/main.ts' in texts)
      .map(([sentence, rule]) => [sentence, rule(house)] as const)
      .filter(([, found]) => found.length > 0),
  )
}

const imports = (...files: string[]) =>
  files.map((file) => `import { a } from '${file}'\n`).join('')
const types = (file: string) => `import type { A } from '${file}'\n`

describe('the rules of the house', () => {
  test('hold for files that import downward', () => {
    expect(
      broken({
        'agent/core/units.ts': 'export const a = 1\n',
        'agent/disk/block-device.ts': imports('../core/units.ts', 'node:fs'),
        'agent/image/plan/plan.ts': imports('../../disk/block-device.ts', '../../core/units.ts'),
        'extensions/image.ts': imports('../agent/image/plan/plan.ts'),
        'agent/main.ts': imports('../extensions/image.ts'),
      }),
    ).toEqual({})
  })

  test('name an arrow upward with its line, a type and an import at run time too', () => {
    expect(
      broken({
        'agent/core/units.ts': '\nexport type A = 1\nconst b = () => import("../system/exec.ts")\n',
        'agent/system/exec.ts': types('../disk/erase.ts'),
        'agent/disk/erase.ts': '',
      }),
    ).toMatchObject({
      'layers import downward only, and siblings do not import each other': [
        'agent/core/units.ts:3 -> agent/system/exec.ts',
        'agent/system/exec.ts:1 -> agent/disk/erase.ts',
      ],
    })
  })

  test('name an arrow between siblings', () => {
    const found = broken({
      'agent/disk/erase.ts': types('../sources/file.ts'),
      'agent/sources/file.ts': '',
      'agent/hardware/manager.ts': imports('../ironic/client.ts'),
      'agent/ironic/client.ts': '',
    })
    expect(found).toEqual({
      'layers import downward only, and siblings do not import each other': [
        'agent/disk/erase.ts:1 -> agent/sources/file.ts',
        'agent/hardware/manager.ts:1 -> agent/ironic/client.ts',
      ],
      'disk and sources meet only in core': ['agent/disk/erase.ts:1 -> agent/sources/file.ts'],
    })
  })

  test('name an arrow upward inside of a room, and a file in none of its rooms', () => {
    const found = broken({
      'agent/image/plan/plan.ts': imports('../formats/raw.ts', '../proof/read-back.ts'),
      'agent/image/formats/raw.ts': types('../deploy-image.ts'),
      'agent/image/proof/read-back.ts': imports('../plan/plan.ts', '../wherever.ts'),
      'agent/image/deploy-image.ts': imports('./plan/plan.ts'),
      'agent/image/wherever.ts': '',
    })
    expect(found).toMatchObject({
      'layers import downward only, and siblings do not import each other': [
        'agent/image/plan/plan.ts:2 -> agent/image/proof/read-back.ts',
        'agent/image/formats/raw.ts:1 -> agent/image/deploy-image.ts',
      ],
      'every source file lies in a room': ['agent/image/wherever.ts'],
    })
  })

  test('name who imports extensions besides main.ts', () => {
    expect(
      broken({
        'agent/cli/run.ts': types('../../extensions/image.ts'),
        'extensions/image.ts': '',
      }),
    ).toEqual({ 'only main.ts imports extensions': ['agent/cli/run.ts:1 -> extensions/image.ts'] })
  })

  test('name a package away from home, and one that has none', () => {
    const found = broken({
      'agent/http/exchange.ts': imports('undici', 'node:net'),
      'agent/disk/erase.ts': imports('undici', 'left-pad/lib'),
    })
    expect(found).toEqual({
      'each package has one home': [
        'agent/disk/erase.ts:1 -> undici',
        'agent/disk/erase.ts:2 -> left-pad/lib',
      ],
    })
  })

  test('name I/O in core', () => {
    const found = broken({ 'agent/core/units.ts': imports('./json.ts', 'node:events') })
    expect(found).toEqual({
      'core touches no I/O: it imports nothing but itself': [
        'agent/core/units.ts:2 -> node:events',
      ],
    })
  })

  test('name a file outside of all rooms', () => {
    expect(broken({ 'agent/wherever/a.ts': '', 'agent/core/a.ts': '' })).toEqual({
      'every source file lies in a room': ['agent/wherever/a.ts'],
    })
  })

  test('name what a module keeps, and what is permitted and gone', () => {
    const found = broken({
      'agent/disk/erase.ts': '\nlet last = 0\n',
      'agent/core/shared-copy.ts': '',
      'agent/cli/run.ts': imports('../disk/erase.ts', '../core/shared-copy.ts'),
    })
    expect(found).toEqual({
      [STATE]: [
        'agent/disk/erase.ts:2: last',
        'agent/core/shared-copy.ts:scratch is permitted, and keeps nothing',
      ],
    })
  })

  test('let a program and a thread keep what is theirs', () => {
    const found = broken({
      'agent/main.ts': `let code = 0\n${imports('./disk/host.ts')}`,
      'agent/disk/host.ts': "new Worker(new URL('./worker.ts', import.meta.url))\n",
      'agent/disk/worker.ts': 'let at = 0\n',
    })
    expect(found).toEqual({})
  })

  test('name a file that the program does not reach', () => {
    const found = broken({
      'agent/main.ts': "await import('./disk/erase.ts')\n",
      'agent/disk/erase.ts': types('../core/units.ts'),
      'agent/core/units.ts': '',
      'agent/core/coverage.ts': types('./extent.ts'),
      'agent/core/extent.ts': '',
    })
    expect(found).toEqual({ [DEAD]: ['agent/core/coverage.ts', 'agent/core/extent.ts'] })
  })

  test('name a folder with too many files, not counting those below it', () => {
    const files = (folder: string, count: number) =>
      Array.from({ length: count }, (_, at) => [`${folder}/f${at}.ts`, ''])
    const texts = (count: number) =>
      Object.fromEntries([...files('agent/core', count), ...files('agent/core/below', 3)])
    expect(broken(texts(MOST_FILES_OF_A_FOLDER))).toEqual({})
    expect(Object.values(broken(texts(MOST_FILES_OF_A_FOLDER + 1)))).toEqual([
      [`agent/core: ${MOST_FILES_OF_A_FOLDER + 1} files`],
    ])
  })

  test('name a file that is too long', () => {
    expect(broken({ 'agent/core/a.ts': '\n'.repeat(MOST_LINES_OF_A_FILE) })).toEqual({})
    expect(
      Object.values(broken({ 'agent/core/a.ts': '\n'.repeat(MOST_LINES_OF_A_FILE + 1) })),
    ).toEqual([[`agent/core/a.ts: ${MOST_LINES_OF_A_FILE + 1} lines`]])
  })
})

describe('circlesOf', () => {
  test('shows each circle once, by one shortest way round', () => {
    const house = houseOf({
      'agent/core/a.ts': types('./b.ts'),
      'agent/core/b.ts': imports('./c.ts', './d.ts'),
      'agent/core/c.ts': imports('./d.ts'),
      'agent/core/d.ts': `export type { A } from './a.ts'\n`,
      'agent/core/e.ts': imports('./a.ts'),
      'agent/core/worker.ts': types('./host.ts'),
      'agent/core/host.ts': `new Worker(new URL('./worker.ts', import.meta.url))\n`,
    })
    expect(circlesOf(house)).toEqual([
      ['agent/core/a.ts', 'agent/core/b.ts', 'agent/core/d.ts', 'agent/core/a.ts'],
      ['agent/core/worker.ts', 'agent/core/host.ts', 'agent/core/worker.ts'],
    ])
  })

  test('finds none where two ways meet', () => {
    const house = houseOf({
      'agent/core/a.ts': imports('./b.ts', './c.ts'),
      'agent/core/b.ts': imports('./d.ts'),
      'agent/core/c.ts': imports('./d.ts'),
      'agent/core/d.ts': '',
    })
    expect(circlesOf(house)).toEqual([])
  })
})
