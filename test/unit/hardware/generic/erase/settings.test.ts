import { describe, expect, test } from 'vitest'
import { OPTIONS } from '../../../../../agent/config/options.ts'
import { readEraseSettings } from '../../../../../agent/hardware/generic/erase/settings.ts'

const DEFAULTS = {
  guard_special_filesystems: OPTIONS.guard_special_filesystems.default,
  erase_verify: OPTIONS.erase_verify.default,
  nvme_erase_method: OPTIONS.nvme_erase_method.default,
  enable_discard_erase: OPTIONS.enable_discard_erase.default,
} as const

describe('what Ironic says of erasing', () => {
  test('has the defaults of ironic-python-agent where a node says nothing', () => {
    expect(readEraseSettings({}, DEFAULTS)).toEqual({
      usesAtaSecureErase: true,
      usesNvmeSecureErase: true,
      goesOnAfterFailure: false,
      randomPasses: 1,
      endsWithZeros: true,
      skipsReadOnly: false,
      concurrency: 1,
      verification: 'sample',
      nvmeMethod: 'auto',
      usesDiscard: false,
    })
  })

  test.each([
    [{ agent_enable_ata_secure_erase: 'False' }, { usesAtaSecureErase: false }],
    [{ agent_continue_if_ata_erase_failed: true }, { goesOnAfterFailure: true }],
    [{ agent_continue_if_secure_erase_failed: 'true' }, { goesOnAfterFailure: true }],
    [{ agent_erase_devices_iterations: '3' }, { randomPasses: 3 }],
    [{ agent_enable_discard_erase: true }, { usesDiscard: true }],
  ])('is read of %j', (fields, settings) => {
    expect(readEraseSettings({ driver_internal_info: fields }, DEFAULTS)).toMatchObject(settings)
  })

  test.each([
    { agent_erase_devices_iterations: -1 },
    { agent_erase_devices_iterations: 1.5 },
    { agent_erase_devices_iterations: 'many' },
    { disk_erasure_concurrency: 0 },
  ])('is refused as %j', (fields) => {
    expect(() => readEraseSettings({ driver_internal_info: fields }, DEFAULTS)).toThrow(
      'must be a whole',
    )
  })
})
