// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { canMakeNetworks } from '../swarm/namespaces.ts'

const PROGRAM = join(import.meta.dirname, 'two-addresses.ts')

/** Runs the program where these hosts are known and nothing else is reached. */
function fetchFrom(host: string, hosts: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'ironswarm-hosts-'))
  const script = 'mount --bind "$1" /etc/hosts && ip link set lo up && exec "$2" "$3" "$4"'
  try {
    writeFileSync(join(folder, 'hosts'), hosts)
    const names = ['sh', join(folder, 'hosts'), process.execPath, PROGRAM, host]
    const words = ['--net', '--mount', 'sh', '-c', script, ...names]
    return execFileSync('unshare', words, { encoding: 'utf8' }).trim()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe.runIf(canMakeNetworks())('a server that takes a second to connect to', () => {
  test('is reached when its host has one address', () => {
    expect(fetchFrom('one.test', '127.0.0.1 one.test\n')).toBe('here')
  })

  test('is reached when its host has another, which is dead', () => {
    expect(fetchFrom('two.test', '127.0.0.1 two.test\n192.0.2.99 two.test\n')).toBe('here')
  })
})
