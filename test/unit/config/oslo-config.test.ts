import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { loadConfig } from '../../../agent/config/load.ts'

/** What oslo.config 9.0.0 made of a file: the options that are not at their default, or that it refused it. */
interface Recorded {
  readonly file: string
  readonly values?: Readonly<Record<string, unknown>>
  readonly refused?: string
}

const RECORDED: Recorded[] = readFileSync('test/fixtures/oslo-config.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))

const PATH = '/etc/ironic-python-agent.conf'

async function ours(file: string): Promise<Record<string, unknown> | 'refused'> {
  try {
    const openTree = () => ({
      readText: async (path: string) => (path === PATH ? file : undefined),
      list: async () => [],
    })
    const { config, origins } = await loadConfig({ env: {}, openTree })
    const set = Object.entries(config).filter(([name]) => origins[name as 'debug'] !== 'default')
    return Object.fromEntries(set)
  } catch {
    return 'refused'
  }
}

/** Where we differ, and why that is so. */
function isOurWay({ file, values, refused }: Recorded): boolean {
  const value = /^\[DEFAULT\]\n\w+ = (.*)/.exec(file)?.[1] ?? ''
  return refused === undefined
    ? // numbers as Python has them, and a number that is unset
      (/listen_port/.test(file) && /^(1_0|\+5|)$/.test(value)) ||
        // flags that are given several times are joined by line ends, so these separate items of lists
        Array.isArray(values?.['permitted_image_formats'])
    : // words that IPA takes on the kernel line are taken everywhere
      /^(t|y|f|n)$/.test(value) ||
        // keys before a section, comments that are indented
        !file.startsWith('[DEFAULT]') ||
        /\n[ \t]+[#;]/.test(file)
}

test('a file means what it means to oslo.config, and what oslo.config refuses is refused', async () => {
  const differences: unknown[] = []
  for (const recorded of RECORDED) {
    const seen = await ours(recorded.file)
    const isSame =
      seen === 'refused' || recorded.refused !== undefined
        ? (seen === 'refused') === (recorded.refused !== undefined)
        : Object.entries(recorded.values ?? {}).every(
            ([name, value]) => JSON.stringify(seen[name] || null) === JSON.stringify(value || null),
          )
    if (!isSame && !isOurWay(recorded)) differences.push({ ...recorded, ours: seen })
  }
  expect(RECORDED.length).toBeGreaterThan(400)
  expect(differences).toEqual([])
})
