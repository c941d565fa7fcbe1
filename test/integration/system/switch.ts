// SPDX-License-Identifier: Apache-2.0
// Owns the switch of tests with LLDP: lldpd in the core of a laboratory network.
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stopChild } from '../../support/processes.ts'
import { type LabMachine, runOn } from '../swarm/namespaces.ts'

export type Place = Pick<LabMachine, 'on'>

/** Starts a command there, its output as pipes. */
export function startOn(place: Place, argv: readonly string[]): ChildProcess {
  const [command, ...args] = [...place.on, ...argv] as [string, ...string[]]
  return spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** A switch of the real kind: lldpd on the other end of machine 0's cable, once a second. */
export function startLldpd(core: Place): AsyncDisposable {
  const folder = mkdtempSync(join(tmpdir(), 'ironswarm-lldpd-'))
  chmodSync(folder, 0o755) // its client, which tells it to begin, is not root
  runOn(core, 'mkdir', '-p', '/run/lldpd') // its chroot
  const settings = join(folder, 'lldpd.conf')
  writeFileSync(settings, 'configure lldp tx-interval 1\n')
  const words = ['-u', join(folder, 'socket'), '-O', settings, '-I', 'p0']
  const child = startOn(core, ['lldpd', '-d', ...words])
  child.stderr?.resume()
  return {
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
