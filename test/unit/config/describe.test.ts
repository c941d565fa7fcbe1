import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { configurationTable, describeConfig } from '../../../agent/config/describe.ts'
import { loadConfig } from '../../../agent/config/load.ts'
import { OPTIONS } from '../../../agent/config/options.ts'

describe('docs/configuration.md', () => {
  test('holds the option table as it is; `ironswarm config --markdown` prints it', () => {
    const [, table] = readFileSync('docs/configuration.md', 'utf8').split('<!-- option table -->\n')
    expect(table?.split('\n')).toEqual(configurationTable().split('\n'))
  })
})

describe('configurationTable', () => {
  test('has one row per option', () => {
    const rows = configurationTable().trim().split('\n').slice(2)
    expect(rows).toHaveLength(Object.keys(OPTIONS).length)
  })
})

describe('describeConfig', () => {
  test('shows value and origin of every option and strikes out secrets', async () => {
    const loaded = await loadConfig({
      env: { IRONSWARM_AGENT_TOKEN: 'abcdef', IRONSWARM_LISTEN_PORT: '1' },
      openTree: () => ({ readText: async () => undefined, list: async () => [] }),
    })
    const rows = describeConfig(loaded)
    expect(rows.map(({ name }) => name)).toEqual(Object.keys(OPTIONS))
    expect(rows).toContainEqual({
      name: 'agent_token',
      value: '***',
      origin: 'environment IRONSWARM_AGENT_TOKEN',
    })
    expect(rows).toContainEqual({
      name: 'listen_port',
      value: 1,
      origin: 'environment IRONSWARM_LISTEN_PORT',
    })
    expect(rows).toContainEqual({ name: 'image_server_password', value: null, origin: 'default' })
    expect(JSON.stringify(rows)).not.toContain('abcdef')
  })
})
