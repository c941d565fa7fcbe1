import { describe, expect, test } from 'vitest'
import { readDocument } from '../../../support/house/document.ts'
import { houseOf } from '../../../support/house/graph.ts'
import { declares, WALKING, walksOf } from '../../../support/house/walks.ts'

const house = houseOf({
  'agent/core/extent.ts': 'export interface Sink {\n  write(extent: Extent): Promise<void>\n}\n',
  'agent/sources/source.ts':
    'export interface ImageSource {\n  deliver(sink: Sink): Promise<void>\n}\n',
  'agent/image/plan/plan.ts': 'export interface Plan {}\nexport function planImage() {}\n',
  'agent/sources/file.ts':
    "import type { ImageSource } from './source.ts'\nimport type { Plan } from '../image/plan/plan.ts'\nexport function deliverFile() {}\n",
  'agent/disk/block-device.ts':
    'export const openDisk = async () => ({\n  async write(at: number) {\n  },\n})\n',
  'agent/image/deploy-image.ts':
    "import { transferImage } from './transfer/transfer-image.ts'\nexport async function deployImage() {\n  await transferImage()\n}\n",
  'agent/image/transfer/transfer-image.ts':
    "import type { ImageSource } from '../../sources/source.ts'\nimport { openDisk } from '../../disk/block-device.ts'\nexport function transferImage() {}\n",
})

function faults(list: string): string[] {
  const walks = walksOf(readDocument('docs/page.md', `## The walk of x\n\n${list}`))
  return [...walks.values()].flatMap((steps) =>
    Object.values(WALKING).flatMap((against) => against(steps, house)),
  )
}

const DEPLOY = '1. `agent/image/deploy-image.ts:deployImage`'
const TRANSFER = '`agent/image/transfer/transfer-image.ts:transferImage`'

describe('walksOf', () => {
  test('reads who calls whom from the order in an item and from the items around it', () => {
    const page = readDocument(
      'docs/page.md',
      [
        '# A page',
        '`a.ts:none`',
        '## The walk of a byte',
        '1. `a.ts:a` and',
        '   `b.ts:b`',
        '   - goes on through',
        '     `t.ts:T` `c.ts:c`',
        '   - `d.ts:d`',
        '2. `e.ts:e`',
        '## After it',
        '- `f.ts:none`',
      ].join('\n'),
    )
    const walk = walksOf(page).get('The walk of a byte') ?? []
    expect([...walksOf(page).keys()]).toEqual(['The walk of a byte'])
    expect(walk.map(({ name, caller, line }) => [name, caller?.name, line])).toEqual([
      ['a', undefined, 4],
      ['b', 'a', 4],
      ['c', 'b', 6],
      ['d', 'b', 8],
      ['e', undefined, 9],
    ])
    expect(walk.map(({ through }) => through?.name)).toEqual([
      undefined,
      undefined,
      'T',
      undefined,
      undefined,
    ])
  })
})

describe('a walk', () => {
  test('may go down by imports, and through a type that both know', () => {
    expect(
      faults(
        `${DEPLOY} → ${TRANSFER}\n` +
          '   - through `agent/sources/source.ts:ImageSource.deliver` `agent/sources/file.ts:deliverFile`\n' +
          '   - `agent/disk/block-device.ts:write`\n',
      ),
    ).toEqual([])
  })

  test('may go back to who has made the teller', () => {
    expect(
      faults(
        '- `agent/image/transfer/transfer-image.ts:transferImage` → `agent/image/deploy-image.ts:deployImage`',
      ),
    ).toEqual([])
  })

  test('may name a file by the end of its path, if no other ends like that', () => {
    expect(
      faults('1. `deploy-image.ts:deployImage` → `transfer/transfer-image.ts:transferImage`'),
    ).toEqual([])
    const twice = houseOf({
      'agent/core/a.ts': 'function f() {}',
      'agent/disk/a.ts': 'function f() {}',
    })
    expect([declares(twice, 'a.ts', 'f'), declares(twice, 'disk/a.ts', 'f')]).toEqual([false, true])
  })

  test('is told of a function that is not in its file, and of a type', () => {
    expect(faults('- `agent/image/deploy-image.ts:writeImage`')).toEqual([
      'line 3: agent/image/deploy-image.ts:writeImage',
    ])
    expect(faults('- `agent/image/gone.ts:deployImage`')).toEqual([
      'line 3: agent/image/gone.ts:deployImage',
    ])
    expect(
      faults(
        `- ${TRANSFER}\n  - through \`agent/sources/source.ts:Source\` \`agent/sources/file.ts:deliverFile\``,
      ),
    ).toEqual(['line 4: agent/sources/source.ts:Source'])
  })

  test('is told of files that no import joins', () => {
    expect(faults(`${DEPLOY}\n   - \`agent/disk/block-device.ts:openDisk\``)).toEqual([
      'line 4: agent/disk/block-device.ts:openDisk, called by agent/image/deploy-image.ts',
    ])
  })

  test('is told of a type that one of both does not know', () => {
    expect(
      faults(
        `- ${TRANSFER} through \`agent/core/extent.ts:Sink.write\` \`agent/sources/file.ts:deliverFile\``,
      ),
    ).toEqual([
      'line 3: agent/sources/file.ts:deliverFile, called by agent/image/transfer/transfer-image.ts',
    ])
  })

  test('may go up through a type of the caller or below it', () => {
    expect(
      faults(
        `- \`agent/sources/file.ts:deliverFile\` through \`agent/sources/source.ts:ImageSource\` ${TRANSFER}`,
      ),
    ).toEqual([])
  })

  test('is told of a step up, and of a type that lies above the caller', () => {
    const called = 'called by agent/sources/file.ts'
    expect(faults(`- \`agent/sources/file.ts:deliverFile\` → ${TRANSFER}`)).toEqual([
      `line 3: agent/image/transfer/transfer-image.ts:transferImage, ${called}`,
      `line 3: agent/image/transfer/transfer-image.ts:transferImage, ${called}`,
    ])
    expect(
      faults(
        '- `agent/sources/file.ts:deliverFile` through `agent/image/plan/plan.ts:Plan` `agent/image/plan/plan.ts:planImage`',
      ),
    ).toEqual([`line 3: agent/image/plan/plan.ts:planImage, ${called}`])
  })
})

describe('declares', () => {
  const declaring = (text: string, name: string) =>
    declares(houseOf({ 'agent/a.ts': text }), 'agent/a.ts', name)

  test.each([
    ['a function', 'export async function work<T>(a: T) {}', 'work'],
    ['a constant', 'const work = () => 1', 'work'],
    ['a type', 'export interface Work {}', 'Work'],
    ['a method', 'const a = {\n  async work(b: { c: 1 }): Promise<void> {\n  },\n}', 'work'],
    ['a method over several lines', 'const a = {\n  work(\n    b: string,\n  ) {\n  },\n}', 'work'],
    ['a private method', 'class A {\n  #work(b: string): void {\n  }\n}', '#work'],
    ['a property', 'const a = {\n  work: async (b) => b,\n}', 'work'],
    ['a method of a type', 'interface Work {\n  begin(): void\n}', 'Work.begin'],
    ['a property of a type', 'interface Work {\n  readonly begin: () => void\n}', 'Work.begin'],
  ])('%s', (_name, text, name) => {
    expect(declaring(text, name)).toBe(true)
  })

  test.each([
    ['a call', 'const a = () => {\n  work(1)\n  if (b) {}\n}', 'work'],
    ['an import', "import { work } from './b.ts'", 'work'],
    ['a comment', '// function work', 'work'],
    ['a beginning', 'function working() {}', 'work'],
    ['a method of no type', 'interface Work {\n  begin(): void\n}', 'Work.end'],
  ])('not %s', (_name, text, name) => {
    expect(declaring(text, name)).toBe(false)
  })
})
