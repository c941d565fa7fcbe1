// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import {
  isReleaseName,
  majorOf,
  type Release,
  suiteOf,
} from '../../support/ironic/release-names.ts'

const TODAY: Record<Release, string> = {
  trixie: '1:29.0.5-0+deb13u3',
  forky: '1:35.0.1-10',
  sid: '1:39.0.0-6',
}
const versionToday = async (release: Release) => TODAY[release]

test.each([
  ['trixie', 'trixie'],
  ['29', 'trixie'],
  ['35', 'forky'],
  ['newest', 'sid'],
  ['39', 'sid'],
])('%s is the Ironic of %s', async (name, release) => {
  expect(await suiteOf(name, versionToday)).toEqual({ release, version: TODAY[release as Release] })
})

test('a version that has wandered to the next release is found there', async () => {
  const later = { ...TODAY, forky: TODAY.sid, sid: '1:43.0.0-1' }
  expect(await suiteOf('39', async (release) => later[release])).toMatchObject({ release: 'forky' })
})

test('a version that no release has is an error that says what they have', async () => {
  await expect(suiteOf('35', async () => TODAY.sid)).rejects.toThrow(
    /no release has version 35 now: trixie has 1:39\.0\.0-6, forky has/,
  )
})

test.each([
  ['1:29.0.5-0+deb13u3', '29'],
  ['39.0.0', '39'],
  ['sid', undefined],
])('the first number of %s is %s', (version, major) => {
  expect(majorOf(version)).toBe(major)
})

test.each([
  ['29', true],
  ['newest', true],
  ['all', false],
  ['bookworm', false],
  ['', false],
  ['../x', false],
])('%s: a name of a release is %s', (name, is) => {
  expect(isReleaseName(name)).toBe(is)
})
