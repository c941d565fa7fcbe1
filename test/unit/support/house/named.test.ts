import { describe, expect, test } from 'vitest'
import { readDocument } from '../../../support/house/document.ts'
import {
  anchorsOf,
  braces,
  type Known,
  NAMINGS,
  strayFilesOf,
} from '../../../support/house/named.ts'

const known: Known = {
  files: [
    'README.md',
    'docs/cli.md',
    'agent/main.ts',
    'agent/ironswarm',
    'agent/image/plan/plan.ts',
    'agent/http/tls.ts',
  ],
  anchors: new Map([
    ['README.md', new Set(['try-it'])],
    [
      'docs/cli.md',
      anchorsOf(readDocument('docs/cli.md', '# Command line\n\n## `ironswarm run`\n')),
    ],
  ]),
  kernelParameters: new Set(['ipa-api-url', 'ipa-debug']),
  options: new Set(['api_url', 'debug']),
  errors: new Set(['SwarmError']),
  commands: new Map([
    ['run', new Set(['--debug', '--start-after'])],
    ['write', new Set(['--device', '--json'])],
    ['torrent create', new Set(['--path'])],
  ]),
  targets: new Set(['test', 'demo']),
  variables: new Set(['NODES', 'SWARM']),
  words: new Set(['swarm_mode', 'bootRanges', 'PiecePicker', 'planImage', 'node_modules']),
  foreign: new Set(['--jitless', 'ut_metadata']),
}

/** What a page of this text names and nobody has. */
function unknown(text: string, path = 'docs/page.md'): string[] {
  const page = readDocument(path, text)
  return Object.values(NAMINGS).flatMap((naming) => naming(page, known))
}

describe('a page may name', () => {
  test.each([
    ['a file', 'look into agent/main.ts.'],
    ['a folder', '`agent/image/` and `agent/image`'],
    ['several files at once', '`agent/{main,http/tls}.ts`'],
    ['files by a star', '`agent/image/plan/*.ts`'],
    ['a function of a file', '`agent/image/plan/plan.ts:planImage`'],
    ['a file without its whole way', '`plan/plan.ts`, `tls.ts`, `plan/`'],
    ['what is built', '`build/vm/`, `node_modules/.bin/`'],
    ['another page', '[cli](cli.md) and [run](cli.md#ironswarm-run), [up](../README.md#try-it)'],
    ['a place in the web', '[ironic](https://docs.openstack.org/ironic/#x)'],
    ['a kernel parameter', '`ipa-api-url=http://x` and any `ipa-*`'],
    ['an environment variable', '`IRONSWARM_DEBUG=1`, any `IRONSWARM_*`'],
    ['an error', 'SwarmError and `SwarmError`'],
    ['a command', '`agent/ironswarm write --device /dev/x`, `ironswarm torrent create`'],
    ['a test that npx finds here', '`npx vitest run`'],
    ['a command in a block', '```sh\nagent/ironswarm run --debug  # --wibble\n```'],
    ['a command over two lines', '```sh\nironswarm torrent create \\\n   --path x\n```'],
    ['a flag of any command', '`--json`'],
    ['a flag of another program', '`sgdisk --wibble` and `--jitless`'],
    ['a target', '`make test`, `make demo SWARM=off`, `SWARM=off make demo`'],
    ['a target in a block', '    make demo NODES=6 # what six nodes make'],
    ['making something in prose', 'make sure that it works'],
    ['a word of the code', '`swarm_mode=off`, `bootRanges`, `PiecePicker.pick`, `NODES=3`'],
    ['a word of somebody else', '`ut_metadata`'],
    ['anything that is no code', 'swarm_wibble and planWibble'],
  ])('%s', (_name, text) => {
    expect(unknown(text)).toEqual([])
  })
})

describe('a page is told of', () => {
  test.each([
    ['a file that is gone', 'see agent/image/sinks.ts.', 'agent/image/sinks.ts.'],
    ['one of several files', '`agent/{main,gone}.ts`', 'agent/{main,gone}.ts'],
    ['a star that finds nothing', '`agent/http/*.js`', 'agent/http/*.js'],
    ['a file in another folder', '`image/plan.ts`', 'image/plan.ts'],
    ['a folder that is gone', '`wire/`', 'wire/'],
    ['a page that is gone', '[x](gone.md)', 'gone.md'],
    ['a heading that is gone', '[x](cli.md#gone)', 'cli.md#gone'],
    ['a kernel parameter', '`ipa-api-uri=x`', 'ipa-api-uri'],
    ['a kernel parameter in a block', '```\nappend = ipa-api-uri=x\n```', 'ipa-api-uri'],
    ['an environment variable', '`IRONSWARM_DEBUGS`', 'IRONSWARM_DEBUGS'],
    ['an error, in prose too', 'a SwarmGoneError ends it', 'SwarmGoneError'],
    ['a command', '`ironswarm wibble`', 'ironswarm wibble'],
    ['a command in a block', '```\nagent/ironswarm wibble\n```', 'ironswarm wibble'],
    ['what npx would fetch', 'as in `npx ironswarm run`', 'npx ironswarm'],
    ['what npx would fetch, in a block', '```\nnpx some-tracker --http\n```', 'npx some-tracker'],
    ['a flag of a command', '`ironswarm write --path x`', 'ironswarm write --path'],
    [
      'a flag in the next line',
      '```\nironswarm write \\\n  --path x\n```',
      'ironswarm write --path',
    ],
    ['a flag that no command has', '`--wibble x`', '--wibble'],
    ['a flag of another command', '`write --path`', '--path'],
    ['a target', '`make wibble`', 'make wibble'],
    ['a variable of a target', '`make demo NODE=6`', 'make NODE=6'],
    ['an option', '`swarm_wibble`', 'swarm_wibble'],
    ['a function', '`bootRange`', 'bootRange'],
    ['a type', '`PieceChooser`', 'PieceChooser'],
  ])('%s', (_name, text, name) => {
    expect(unknown(`\n${text}`)).toContainEqual(expect.stringMatching(/^docs\/page\.md:\d+: /))
    expect(unknown(`\n${text}`).map((line) => line.replace(/^\S+:\d+: /, ''))).toContain(name)
  })

  test('a flag below the heading of a command that does not have it', () => {
    const text = '## `ironswarm write`\n\n`--device`\n\n## `ironswarm run`\n\n`--device`\n'
    expect(unknown(text)).toEqual(['docs/page.md:7: --device'])
  })
})

describe('strayFilesOf', () => {
  test('names the files of comments that are gone, with their line', () => {
    const text = [
      '// Owns the plan; gone.ts opens, and plan/plan.ts decides.',
      "import { a } from './never.ts'",
      '/**',
      ' * See docs/cli.md, docs/gone.md.',
      ' */',
      "const text = '// text.ts'",
    ].join('\n')
    expect(strayFilesOf('agent/a.ts', text, known.files)).toEqual([
      'agent/a.ts:1: gone.ts',
      'agent/a.ts:4: docs/gone.md',
    ])
  })
})

test('braces are spread out', () => {
  expect(braces('a/{b,c}/{d,e}.ts')).toEqual(['a/b/d.ts', 'a/b/e.ts', 'a/c/d.ts', 'a/c/e.ts'])
  expect(braces('a/b.ts')).toEqual(['a/b.ts'])
})
