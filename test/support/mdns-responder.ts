// SPDX-License-Identifier: Apache-2.0
// Owns real responders of multicast DNS for tests: Debian's avahi, and the library that Ironic itself announces with. Each runs
// on a machine of a laboratory network.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stopChild } from './processes.ts'

export interface Announcement {
  /** `baremetal` */
  readonly type: string
  readonly port: number
  readonly properties: Readonly<Record<string, string>>
}

/** The words that make a command run on a machine. */
type On = readonly string[]

/** avahi-daemon with files of its own. */
export async function startAvahi(
  on: On,
  services: readonly Announcement[],
): Promise<AsyncDisposable> {
  const folder = mkdtempSync(join(tmpdir(), 'ironswarm-avahi-'))
  const settings = '[server]\nhost-name=ironic\nuse-ipv4=yes\nuse-ipv6=yes\nenable-dbus=no\n'
  writeFileSync(join(folder, 'avahi-daemon.conf'), settings)
  await mkdir(join(folder, 'services'))
  for (const service of services) {
    writeFileSync(join(folder, 'services', `${service.type}.service`), serviceFile(service))
  }
  const script = [
    `mount --bind ${folder} /etc/avahi`,
    'mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon',
    'exec avahi-daemon --no-chroot --no-drop-root --no-rlimits --debug',
  ].join(' && ')
  const child = start([...on, 'unshare', '--mount', 'sh', '-c', script])
  return {
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function serviceFile({ type, port, properties }: Announcement): string {
  const records = Object.entries(properties).map(
    ([key, value]) => `<txt-record>${key}=${value}</txt-record>`,
  )
  return `<service-group><name>${type}</name><service><type>_openstack._tcp</type><port>${port}</port>${records.join('')}</service></service-group>`
}

/** What ironic-conductor does with `enable_mdns`, by its own library. */
export function startIronicLib(
  on: On,
  address: string,
  services: readonly Announcement[],
): AsyncDisposable {
  const calls = services.map(({ type, port, properties }) => {
    const params = JSON.stringify(properties)
    return `zeroconf.register_service('${type}', 'http://${address}:${port}', ${params})`
  })
  const script = [
    'import time',
    'from ironic_lib import mdns',
    'from oslo_config import cfg',
    "cfg.CONF([], project='announcer')",
    'zeroconf = mdns.Zeroconf()',
    ...calls,
    'time.sleep(3600)',
  ]
  const child = start([...on, '/usr/bin/python3', '-c', script.join('\n')])
  return { [Symbol.asyncDispose]: () => stopChild(child) }
}

function start([command, ...args]: readonly string[]): ChildProcess {
  return spawn(command as string, args, { stdio: ['ignore', 'ignore', 'ignore'] })
}
