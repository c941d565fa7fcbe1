import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERROR_TABLE } from '../../../agent/core/errors.ts'
import { typescriptBelow } from '../../support/house/graph.ts'

test('docs/errors.md says of a type that nothing raises that nothing does', () => {
  const sources = [...typescriptBelow('agent'), ...typescriptBelow('extensions')]
    .filter((path) => path !== 'agent/core/errors.ts')
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n')
  const idle = Object.keys(ERROR_TABLE).filter((type) => !sources.includes(`'${type}'`))
  const documented = [
    ...readFileSync('docs/errors.md', 'utf8').matchAll(
      /^\| `(\w+)` .* Nothing raises it yet\. \|$/gm,
    ),
  ]
  expect(documented.map(([, type]) => type)).toEqual(idle)
})
