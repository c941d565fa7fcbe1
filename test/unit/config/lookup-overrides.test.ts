import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../agent/config/load.ts'
import { applyLookupOverrides } from '../../../agent/config/lookup-overrides.ts'

const openTree = () => ({ readText: async () => undefined, list: async () => [] })

describe('applyLookupOverrides', () => {
  test('what the conductor says wins over flags and names the lookup as origin', async () => {
    const loaded = await loadConfig({ env: {}, openTree, argvFlags: { md5_enabled: 'true' } })
    const { config, origins } = applyLookupOverrides(loaded, {
      md5_enabled: false,
      permitted_image_formats: ['raw'],
      tls_min_version: '1.3',
    })
    expect(config.md5_enabled).toBe(false)
    expect(config.permitted_image_formats).toEqual(['raw'])
    expect(config.tls_min_version).toBe('1.3')
    expect(origins.md5_enabled).toBe('lookup')
    expect(origins.listen_port).toBe('default')
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('what it sets without effect is said, and what was said before is not said again', async () => {
    const loaded = await loadConfig({ env: { IRONSWARM_X: '1' }, openTree })
    expect(loaded.warnings).toHaveLength(1)
    const { warnings } = applyLookupOverrides(loaded, {
      md5_enabled: false,
      enable_bios_bootloader_install: true,
      disable_deep_image_inspection: true,
      introspection_daemon: false,
    })
    expect(warnings).toEqual([
      'Ironic sets disable_deep_image_inspection, which has no effect in this version',
    ])
  })

  test('what it does not say, and what is no option, changes nothing', async () => {
    const loaded = await loadConfig({ env: {}, openTree })
    const { config } = applyLookupOverrides(loaded, {
      md5_enabled: undefined,
      agent_containers: { runner: 'podman' },
    })
    expect(config).toEqual(loaded.config)
  })
})
