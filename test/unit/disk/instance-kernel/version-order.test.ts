import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareVersions } from '../../../../agent/disk/instance-kernel/version-order.ts'

// UAPI Version Format Specification, "Examples", and kernels of distributions
test.each([
  ['11', '11'],
  ['systemd-123', 'systemd-123'],
  ['bar-123', 'foo-123'],
  ['123', '123a'],
  ['123~rc1', '123'],
  ['123.a', '123.b'],
  ['123.a', '123a'],
  ['123.45', '123.67'],
  ['11α', '11β'],
  ['5.14.0-70.el9', '5.14.0-362.8.1.el9_3'],
  ['6.1.0-9-amd64', '6.1.0-28-amd64'],
  ['6.9', '6.10'],
  ['0-rescue', '5.14.0'],
])('%s is not newer than %s', (older, newer) => {
  expect(compareVersions(older, newer)).toBeLessThanOrEqual(0)
  expect(compareVersions(newer, older)).toBeGreaterThanOrEqual(0)
  if (!/^(11|systemd)/.test(older)) expect(compareVersions(older, newer)).toBe(-1)
})

const version = fc.string({ unit: fc.constantFrom(...'09az.-~^_A'), maxLength: 12 })

test('is an order: of any three the first is not newer than the last', () => {
  fc.assert(
    fc.property(fc.array(version, { minLength: 3, maxLength: 3 }), (versions) => {
      const [a = '', b = '', c = ''] = versions.sort(compareVersions)
      expect(compareVersions(a, b)).toBeLessThanOrEqual(0)
      expect(compareVersions(b, c)).toBeLessThanOrEqual(0)
      expect(compareVersions(a, c)).toBeLessThanOrEqual(0)
      expect(compareVersions(a, b)).toBe(0 - compareVersions(b, a))
    }),
  )
})
