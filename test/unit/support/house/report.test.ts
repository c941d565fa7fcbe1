import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const REPORT = resolve('test/support/house/report.ts')

describe('make house', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ironswarm-house-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  function report(files: Readonly<Record<string, string>>) {
    const all = { 'extensions/a.ts': '', 'image-build/a.ts': '', ...files }
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    const { status, stdout } = spawnSync(process.execPath, [REPORT], {
      cwd: folder,
      encoding: 'utf8',
    })
    return { status, lines: stdout.split('\n').map((line) => line.replace(/ +/g, ' ').trim()) }
  }

  test('shows files, lines, the largest, circles and arrows by folder, and how much test there is', () => {
    const { status, lines } = report({
      'agent/main.ts': "import './core/a.ts'\nimport '../extensions/a.ts'\n",
      'agent/core/a.ts': "export * from './b.ts'\n\n",
      'agent/core/b.ts': '\n',
      'agent/core/shared-copy.ts': 'const scratch = new Uint8Array(8)\n',
      'test/unit/a.test.ts': "test('a', f)\n// test('b', f)\ntest.each([1])('c %i', f)\n",
      'test/fixtures/a.ts': '\n\n\n\n\n',
    })
    expect(lines).toContain('agent/core 3 4 2 a.ts 0 0')
    expect(lines).toContain('all 6 6 0 0')
    expect(lines).toContain('test lines ÷ source lines: 3 ÷ 6 = 0.500, the goal is 1.2: below')
    expect(lines).toContain('tests as written: 2')
    expect(lines).toContain('1 AGAINST: every file of the agent is reached from main.ts')
    expect(status).toBe(1)
  })

  test('ends with 0 when every rule holds, and else names what is against it', () => {
    const holding = {
      'agent/main.ts': "import './system/a.ts'\nimport '../extensions/a.ts'\n",
      'agent/system/a.ts': "import '../core/a.ts'\n",
      'agent/core/a.ts': '',
      'test/a.test.ts': '',
    }
    expect(report(holding).status).toBe(0)
    const { status, lines } = report({ ...holding, 'agent/core/a.ts': "import '../system/a.ts'\n" })
    expect(status).toBe(1)
    expect(lines).toContain('agent/core/a.ts -> agent/system/a.ts -> agent/core/a.ts')
    expect(lines).toContain('agent/core/a.ts:1 -> agent/system/a.ts')
    expect(lines).toContain('agent/core 1 1 1 a.ts 1 1')
  })
})
