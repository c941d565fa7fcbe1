import { expect, test } from 'vitest'
import { hasPackages, missingPackages, PACKAGE_SETS } from '../../support/packages.ts'

test('a package that is not installed is missing, and one set asks for no package twice', () => {
  const missing = missingPackages('agent', 'interop', 'instance-image')
  expect(new Set(missing).size).toBe(missing.length)
  const known: readonly string[] = Object.values(PACKAGE_SETS).flatMap(({ packages }) => packages)
  for (const name of missing) expect(known).toContain(name)
  for (const { packages } of Object.values(PACKAGE_SETS)) {
    expect(new Set(packages).size).toBe(packages.length)
    expect([...packages].sort()).toEqual(packages)
  }
})

test('a set is there exactly when nothing of it is missing', () => {
  expect(hasPackages('bench')).toBe(missingPackages('bench').length === 0)
})
