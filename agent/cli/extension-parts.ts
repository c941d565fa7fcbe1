// SPDX-License-Identifier: Apache-2.0
// Owns putting together what the extensions are given: the image pipeline, the boot loader set-up, the
// end of the machine, each with its dependencies filled in. Does not call any of it.
import type { Progress } from '../core/events.ts'
import { installUefiBootloader } from '../disk/bootloader.ts'
import { deployImage } from '../image/deploy-image.ts'
import { createArenaBudget } from '../sources/swarm/thread/arena-budget.ts'
import { exec } from '../system/exec.ts'
import { type PowerDeps, powerOff, reboot } from '../system/power.ts'
import type { ExtensionParts, SeedingOwner } from './extension-room.ts'
import type { ServeOptions } from './serve.ts'

export interface EndListeners {
  /** Instead of an end that `machine_control=log` only logs. */
  readonly onMachineEnd: (reason: string) => void
  /** The machine has been handed to its rescue user. */
  readonly onRescued: () => void
}

/**
 * @param onProgress hears of every image write too, whoever asked for it
 */
export function createExtensionParts(
  options: ServeOptions,
  seeding: SeedingOwner,
  onProgress: (progress: Progress) => void,
  { onMachineEnd, onRescued }: EndListeners,
): ExtensionParts {
  const { config, root, log, line } = options
  const swarmMemory = createArenaBudget(config.swarm_memory)
  const powerDeps: PowerDeps = { exec, root, log, machineControl: config.machine_control }
  const endMachine = async (end: (deps: PowerDeps) => Promise<void>, reason: string) => {
    await end(powerDeps)
    if (config.machine_control === 'log') onMachineEnd(reason)
  }
  return {
    config,
    exec,
    root,
    log,
    now: line.now,
    hardware: options.hardware,
    nodeCache: options.nodeCache,
    refreshNode: options.refreshNode,
    deployImage: (request) =>
      deployImage(
        {
          ...request,
          onProgress: (progress) => {
            onProgress(progress)
            request.onProgress(progress)
          },
        },
        {
          config: { ...config, swarm_rack: options.rack.current },
          exec,
          root,
          log,
          random: line.random,
          swarmMemory,
          laterRack: options.rack.found,
          now: () => performance.now(),
        },
      ),
    installUefiBootloader: (request) =>
      installUefiBootloader({
        ...request,
        exec,
        log,
        machineControl: config.machine_control,
      }),
    power: {
      powerOff: () => endMachine(powerOff, 'powered off'),
      reboot: () => endMachine(reboot, 'rebooted'),
    },
    seeding,
    afterRescue: onRescued,
    recentLog: options.recentLog,
  }
}
