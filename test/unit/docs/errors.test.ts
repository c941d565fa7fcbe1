import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERROR_TABLE } from '../../../agent/core/errors.ts'
import { typescriptBelow } from '../../support/house/graph.ts'

test('each type of the table of errors is raised somewhere: no page explains what cannot happen', () => {
  const sources = [...typescriptBelow('agent'), ...typescriptBelow('extensions')]
    .filter((path) => path !== 'agent/core/errors.ts' && path !== 'agent/cli/exit-codes.ts')
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n')
  expect(Object.keys(ERROR_TABLE).filter((type) => !sources.includes(`'${type}'`))).toEqual([])
})
