import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../agent/config/load.ts'
import { applyLookupConfig } from '../../../agent/config/lookup-overrides.ts'

const openTree = () => ({ readText: async () => undefined, list: async () => [] })

describe('applyLookupConfig', () => {
  test('takes what the conductor says, over flags too, and names the lookup as origin', async () => {
    const loaded = await loadConfig({ env: {}, openTree, argvFlags: { md5_enabled: 'true' } })
    const { config, origins } = applyLookupConfig(loaded, {
      heartbeat_timeout: 300,
      agent_md5_checksum_enable: false,
      permitted_image_formats: ['raw'],
      tls_min_version: '1.3',
    })
    expect(config.md5_enabled).toBe(false)
    expect(config.permitted_image_formats).toEqual(['raw'])
    expect(config.tls_min_version).toBe('1.3')
    expect(origins.md5_enabled).toBe('lookup (agent_md5_checksum_enable)')
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('a false enable_bios_bootloader_install changes nothing, a true one does', async () => {
    const loaded = await loadConfig({
      env: {},
      openTree,
      argvFlags: { enable_bios_bootloader_install: 'true' },
    })
    const off = applyLookupConfig(loaded, { enable_bios_bootloader_install: false })
    expect(off.config.enable_bios_bootloader_install).toBe(true)
    const plain = await loadConfig({ env: {}, openTree })
    const on = applyLookupConfig(plain, { enable_bios_bootloader_install: true })
    expect(on.config.enable_bios_bootloader_install).toBe(true)
  })

  test.each([undefined, null, 'x', { permitted_image_formats: 'raw', tls_min_version: '9' }])(
    'leaves all as it is for %j',
    async (answer) => {
      const loaded = await loadConfig({ env: {}, openTree })
      expect(applyLookupConfig(loaded, answer).config).toEqual(loaded.config)
    },
  )

  test('reads the answer that Ironic 21.4 gave', async () => {
    const loaded = await loadConfig({ env: {}, openTree })
    const { config } = applyLookupConfig(loaded, {
      agent_token: 'x',
      agent_token_required: true,
      disable_deep_image_inspection: false,
      permitted_image_formats: ['raw', 'qcow2', 'iso'],
      enable_bios_bootloader_install: true,
    })
    expect(config.permitted_image_formats).toEqual(['raw', 'qcow2', 'iso'])
    expect(config.enable_bios_bootloader_install).toBe(true)
  })
})
