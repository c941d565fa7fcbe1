// SPDX-License-Identifier: Apache-2.0
// Owns what somebody may call an Ironic: by the release of Debian that has it, by the first number of its version, or `newest`.
// Does not ask Debian itself.

/** The older first. */
export const RELEASES = ['trixie', 'forky', 'sid'] as const
export type Release = (typeof RELEASES)[number]

export interface Suite {
  readonly release: Release
  /** Of the package, as `1:35.0.1-10`. */
  readonly version: string
}

const isRelease = (name: string): name is Release => RELEASES.some((one) => one === name)

export function isReleaseName(name: string): boolean {
  return isRelease(name) || name === 'newest' || /^\d+$/.test(name)
}

/** `35` of `1:35.0.1-10`. */
export function majorOf(version: string): string | undefined {
  return /^(?:\d+:)?(\d+)\./.exec(version)?.[1]
}

/**
 * Which release the name means today: a version wanders from sid to the next release, `newest` is always sid's.
 * @param versionIn the version that a release has now
 * @throws Error where no release has that version, and what `versionIn` throws
 */
export async function suiteOf(
  name: string,
  versionIn: (release: Release) => Promise<string>,
): Promise<Suite> {
  const release = name === 'newest' ? 'sid' : name
  if (isRelease(release)) return { release, version: await versionIn(release) }
  const others: string[] = []
  for (const each of RELEASES) {
    const version = await versionIn(each)
    if (majorOf(version) === name) return { release: each, version }
    others.push(`${each} has ${version}`)
  }
  throw new Error(`no release has version ${name} now: ${others.join(', ')}`)
}
