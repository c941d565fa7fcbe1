// SPDX-License-Identifier: Apache-2.0
// Owns the list of the generic manager's steps (contract 7.2): which there are, and which skip lists they see. Does not
// run any; writing an image is a function that a step is handed.
import type { Config } from '../../config/options.ts'
import { ASSEMBLY_PAUSE } from '../../disk/md/assembly-pause.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { createBurninSteps } from '../burnin/steps.ts'
import { createPstoreStep } from '../firmware/pstore.ts'
import { createNvramSteps } from '../firmware/uefi-nvram.ts'
import { createInjectStep } from '../inject/inject-files.ts'
import type { Disk } from '../inventory.ts'
import type { StepImplementation } from '../manager.ts'
import type { RootVolumes } from '../raid/root-volume.ts'
import { createRaidSteps } from '../raid/steps.ts'
import { markSkipped } from '../root-device-hints.ts'
import { createEraseSteps } from './erase/steps.ts'
import type { Overrides } from './overrides.ts'
import { type RootDiskFinder, skipListOf } from './root-disk.ts'

export interface GenericStepsDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly overrides: Pick<Overrides, 'others' | 'nodeFor'>
  readonly rootVolumes: RootVolumes
  readonly finder: Pick<RootDiskFinder, 'find' | 'listMarked'>
  /** All disks, whatever the node's skip list. */
  readonly listDisks: () => Promise<readonly Disk[]>
  /** The same with those that were members of an array. */
  readonly listWithOldMembers: () => Promise<readonly Disk[]>
}

const WRITE_IMAGE: StepImplementation = {
  kinds: ['deploy', 'service'],
  announce: { step: 'write_image', priority: 0, interface: 'deploy', reboot_requested: false },
  accepts: ['image_info', 'configdrive'],
  run: async ({ args, context }) => ({
    result: await context.writeImage(args['image_info'], args['configdrive']),
  }),
}

const INSTALL_CONTAINER: StepImplementation = {
  kinds: ['deploy', 'service'],
  announce: {
    ...{ step: 'execute_bootc_install', priority: 0, interface: 'deploy', reboot_requested: false },
  },
  accepts: ['image_source', 'configdrive', 'oci_pull_secret'],
  run: async ({ args, context }) => ({ result: await context.installContainer(args) }),
}

/** The steps; each sees the node with the skip lists that other managers have for it. */
export function createGenericSteps(deps: GenericStepsDeps): StepImplementation[] {
  const { finder } = deps
  const listDisks = finder.listMarked
  const burnin = createBurninSteps({ ...deps, listDisks })
  const raid = createRaidSteps({
    ...deps,
    pausePath: ASSEMBLY_PAUSE,
    listed: deps.config.block_devices,
    listDisks,
    listOldMembers: async (node) => markSkipped(await deps.listWithOldMembers(), skipListOf(node)),
  })
  const steps = [
    WRITE_IMAGE,
    INSTALL_CONTAINER,
    createInjectStep({ ...deps, findDisk: async (node) => (await finder.find(node)).name }),
    ...createEraseSteps({ ...deps, listDisks, others: deps.overrides.others }).map(takingAnyDisk),
    createPstoreStep(deps),
    ...createNvramSteps(deps),
    ...burnin.map((step) => (step.announce.step === 'burnin_disk' ? takingAnyDisk(step) : step)),
    ...raid.map(takingAnyDisk),
  ]
  return steps.map((step) => withSkipLists(step, deps))
}

function takingAnyDisk(step: StepImplementation): StepImplementation {
  return { ...step, takesAnyDisk: true }
}

function withSkipLists(
  step: StepImplementation,
  { overrides, listDisks }: GenericStepsDeps,
): StepImplementation {
  return {
    ...step,
    run: async (call) => {
      const node = await overrides.nodeFor(call.node, listDisks)
      return await step.run({ ...call, node })
    },
  }
}
