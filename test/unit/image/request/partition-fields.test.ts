import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../../agent/core/json.ts'
import {
  parsePartitionFields,
  withNodesBootMode,
} from '../../../../agent/image/request/partition-fields.ts'

/** As Ironic 21.4 sends it (contract 5.2). */
const SENT = {
  kernel: null,
  ramdisk: null,
  root_gb: '10',
  root_mb: 10240,
  swap_mb: 512,
  ephemeral_mb: 0,
  ephemeral_format: null,
  preserve_ephemeral: false,
  image_type: 'partition',
  deploy_boot_mode: 'uefi',
  boot_option: 'local',
  disk_label: 'gpt',
}

function fieldsOf(fields: JsonObject = {}) {
  const found = parsePartitionFields({ ...SENT, ...fields })
  if (!found) throw new Error('no partition image')
  return found
}

describe('the partition fields of image_info', () => {
  test('are those that Ironic sends', () => {
    expect(fieldsOf()).toEqual({
      rootMib: 10240,
      swapMib: 512,
      ephemeralMib: 0,
      ephemeralFormat: 'ext4',
      preservesEphemeral: false,
      bootMode: 'uefi',
      diskLabel: 'gpt',
    })
  })

  test.each([undefined, null, 'whole-disk', 'whole', 1])('are none with image_type %j', (type) => {
    expect(parsePartitionFields({ ...SENT, image_type: type })).toBeNull()
  })

  test('may be null but for the root size, which may be given in GiB as text', () => {
    const nothing = Object.fromEntries(Object.keys(SENT).map((key) => [key, null]))
    const found = parsePartitionFields({ ...nothing, image_type: 'partition', root_gb: '3' })
    expect(found).toEqual({
      rootMib: 3072,
      swapMib: 0,
      ephemeralMib: 0,
      ephemeralFormat: 'ext4',
      preservesEphemeral: false,
      bootMode: null,
      diskLabel: null,
    })
  })

  test.each<[JsonObject, RegExp]>([
    [{ root_mb: 0, root_gb: 0 }, /root_mb must be at least 1/],
    [{ root_mb: null, root_gb: null }, /root_mb must be at least 1/],
    [{ root_mb: -1 }, /root_mb must be a whole number/],
    [{ swap_mb: 1.5 }, /swap_mb must be a whole number/],
    [{ swap_mb: 'much' }, /swap_mb/],
    [{ ephemeral_mb: 1e300 }, /ephemeral_mb/],
    [{ ephemeral_mb: [] }, /ephemeral_mb/],
    [{ ephemeral_format: '../../bin/sh' }, /ephemeral_format/],
    [{ ephemeral_format: 'ext4 -d /root' }, /ephemeral_format/],
    [{ preserve_ephemeral: 1 }, /preserve_ephemeral must be true or false/],
    [{ deploy_boot_mode: 'pxe' }, /deploy_boot_mode must be uefi or bios, got pxe/],
    [{ disk_label: 'bsd' }, /disk_label must be gpt or msdos/],
  ])('with %j are refused', (fields, message) => {
    expect(() => fieldsOf(fields)).toThrow(message)
  })
})

describe('the boot mode of a node', () => {
  const bios = fieldsOf({ deploy_boot_mode: 'bios', disk_label: null })

  test.each<[string, JsonObject | undefined, 'uefi' | 'bios' | null]>([
    ['nothing: image_info', undefined, 'bios'],
    ['null everywhere: image_info', { instance_info: null, properties: null }, 'bios'],
    ['driver_internal_info', { driver_internal_info: { deploy_boot_mode: 'uefi' } }, 'uefi'],
    [
      'a capability, before driver_internal_info',
      {
        properties: { capabilities: 'cpu_vt:true, boot_mode:uefi' },
        driver_internal_info: { deploy_boot_mode: 'bios' },
      },
      'uefi',
    ],
    ['a capability in an object', { properties: { capabilities: { boot_mode: 'uefi' } } }, 'uefi'],
    ['a capability in JSON', { properties: { capabilities: '{"boot_mode": "UEFI"}' } }, 'uefi'],
    ['broken JSON: image_info', { properties: { capabilities: '{"boot_mode": ' } }, 'bios'],
    [
      'instance_info, before a capability',
      {
        instance_info: { deploy_boot_mode: 'uefi' },
        properties: { capabilities: 'boot_mode:bios' },
      },
      'uefi',
    ],
    [
      'secure_boot, before all',
      {
        instance_info: { deploy_boot_mode: 'bios', capabilities: { secure_boot: 'true' } },
      },
      'uefi',
    ],
    [
      'secure_boot that the instance does not want',
      {
        instance_info: { capabilities: { secure_boot: 'false' } },
        properties: { capabilities: 'secure_boot:true' },
      },
      'bios',
    ],
  ])('is told by %s', (_, node, mode) => {
    expect(withNodesBootMode(bios, node).bootMode).toBe(mode)
  })

  test('comes with the label that a capability names', () => {
    const node = { properties: { capabilities: 'disk_label:gpt' } }
    expect(withNodesBootMode(bios, node).diskLabel).toBe('gpt')
    expect(() =>
      withNodesBootMode(bios, { properties: { capabilities: 'disk_label:sun' } }),
    ).toThrow(/capability disk_label must be gpt or msdos/)
  })
})
