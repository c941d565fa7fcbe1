// SPDX-License-Identifier: Apache-2.0
// Owns the name of the rack that deploys are given: the operator's, else the switch's once it is known.
// Does not listen itself (hardware/switch-rack.ts).
import type { Config } from '../config/options.ts'
import { findSwitchRack } from '../hardware/switch-rack.ts'
import type { IronicClient } from '../ironic/client.ts'
import type { Exec } from '../system/exec.ts'
import { withoutBrackets } from '../system/network/ip-network.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface RackOptions {
  readonly config: Pick<Config, 'swarm_rack' | 'swarm_mode' | 'lldp_timeout'>
  readonly client: Pick<IronicClient, 'urls'> | undefined
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
}

export interface RackName extends Disposable {
  /** Null until it is known, and where the subnet decides. */
  readonly current: string | null
  /** What the listening brings: deploys that have begun before take it too. Undefined for nothing. */
  readonly found: Promise<string | undefined>
}

/**
 * Begins to listen for the switch, once and in the background: a deploy does not wait for it.
 * Disposal ends that.
 */
export function watchRack({ config, client, exec, root, log }: RackOptions): RackName {
  const ended = new AbortController()
  let current = config.swarm_rack
  let found: Promise<string | undefined> = Promise.resolve(undefined)
  const isWanted = current === null && config.swarm_mode !== 'off' && config.lldp_timeout > 0
  if (client && isWanted) {
    const towards = client.urls().map((url) => withoutBrackets(new URL(url).hostname))
    const request = { towards, silenceMs: config.lldp_timeout * 1000, signal: ended.signal }
    found = findSwitchRack(request, { exec, root, log }).then((name) => {
      if (name === undefined || ended.signal.aborted) return undefined
      current = name
      log.info({ rack: name }, 'swarm: the switch names our rack')
      return name
    })
  }
  return {
    get current() {
      return current
    },
    found,
    [Symbol.dispose]: () => ended.abort(),
  }
}
