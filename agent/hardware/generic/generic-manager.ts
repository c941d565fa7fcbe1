// SPDX-License-Identifier: Apache-2.0
// Owns the generic hardware manager: what any Linux machine can do, put together from this folder, and
// the steps of contract 7.2 that are built. Does not write images; a step is handed the function for it.
import type { Config } from '../../config/options.ts'
import { ASSEMBLY_PAUSE } from '../../disk/md/assembly-pause.ts'
import type { Exec } from '../../system/exec.ts'
import { listenForLldp } from '../../system/lldp/lldp.ts'
import type { Tlv } from '../../system/lldp/lldpdu.ts'
import { syncDisks } from '../../system/power.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { createBurninSteps } from '../burnin/steps.ts'
import { hasBmc, NO_BMC, readBmc } from '../collectors/bmc.ts'
import { readBoot } from '../collectors/boot.ts'
import { readCpu } from '../collectors/cpus.ts'
import { listDisks } from '../collectors/disks.ts'
import { readMemory } from '../collectors/memory.ts'
import { openNicReader } from '../collectors/nics.ts'
import { readSystemVendor } from '../collectors/system-vendor.ts'
import { readUsbDevices } from '../collectors/usb.ts'
import { createPstoreStep } from '../firmware/pstore.ts'
import { createNvramSteps } from '../firmware/uefi-nvram.ts'
import { createInjectStep } from '../inject/inject-files.ts'
import type { Disk, Inventory, WireInterface } from '../inventory.ts'
import { collectSystemLogs } from '../log-bundle/system-logs.ts'
import {
  type HardwareAnswer,
  type HardwareManager,
  type HardwareMethods,
  type StepImplementation,
  SUPPORT,
} from '../manager.ts'
import { createRootVolumes } from '../raid/root-volume.ts'
import { createRaidSteps } from '../raid/steps.ts'
import { markSkipped } from '../root-device-hints.ts'
import { toWireDisk } from '../wire-disk.ts'
import { createEraseSteps } from './erase/steps.ts'
import { createOverrides, type Overrides } from './overrides.ts'
import { createRootDiskFinder, skipListOf } from './root-disk.ts'

export interface GenericManagerDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** True when the inventory has to do without the BMC; asked each time, since the lookup may change it. */
  readonly skipsBmc?: () => boolean
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

/** The manager that supports every machine, if no better one does. */
export function createGenericManager(deps: GenericManagerDeps): HardwareManager {
  const { config, exec, root, log, skipsBmc = () => config.agent_skip_bmc_detect } = deps
  const overrides = createOverrides()
  const list = (erasesRaidMembers: boolean) =>
    overrides.disks(config.block_devices, (listed) =>
      listDisks({ exec, root, listed, erasesRaidMembers }),
    )
  const rootVolumes = createRootVolumes()
  const finder = createRootDiskFinder({
    listDisks: () => list(config.erase_raid_members),
    rootVolumes,
    overrides,
    log,
    waitAttempts: config.disk_wait_attempts,
    waitDelayMs: config.disk_wait_delay * 1000,
  })
  const questions = createQuestions(deps)
  const nics = async () => {
    const reader = await openNicReader({ exec, root, log })
    return await overrides.interfaces(reader.names, (name) => reader.describe(name))
  }
  // switches do not move, and one is waited for as long as half a minute
  let switches: Promise<Switches> | undefined
  const erasing = createEraseSteps({
    ...deps,
    listDisks: (node) => finder.listMarked(node),
    others: overrides.others,
  })
  const raid = createRaidSteps({
    ...deps,
    pausePath: ASSEMBLY_PAUSE,
    rootVolumes,
    listed: config.block_devices,
    listDisks: (node) => finder.listMarked(node),
    listOldMembers: async (node) => markSkipped(await list(true), skipListOf(node)),
  })
  const burnin = createBurninSteps({ ...deps, listDisks: (node) => finder.listMarked(node) })
  const takingAnyDisk = (step: StepImplementation) => ({ ...step, takesAnyDisk: true })
  const steps = [
    WRITE_IMAGE,
    INSTALL_CONTAINER,
    createInjectStep({ ...deps, findDisk: async (node) => (await finder.find(node)).name }),
    ...erasing.map(takingAnyDisk),
    createPstoreStep(deps),
    ...createNvramSteps(deps),
    ...burnin.map((step) => (step.announce.step === 'burnin_disk' ? takingAnyDisk(step) : step)),
    ...raid.map(takingAnyDisk),
  ]
  const withSkipLists = (step: StepImplementation): StepImplementation => ({
    ...step,
    run: async (call) => {
      const node = await overrides.nodeFor(call.node, () => list(config.erase_raid_members))
      return await step.run({ ...call, node })
    },
  })
  return {
    name: 'generic_hardware_manager',
    version: '1.5',
    label: 'GenericHardwareManager',
    evaluateHardwareSupport: async () => SUPPORT.GENERIC,
    initialize: async (others) => overrides.join(others),
    steps: steps.map(withSkipLists),
    ...questions,
    listNetworkInterfaces: nics,
    listBlockDevices: (node) => finder.list(node),
    getOsInstallDevice: (node) => finder.find(node),
    waitForDisks: (node, signal) => finder.wait(node, signal),
    listHardwareInfo: async () => {
      const inventory = await takeInventory({
        questions,
        overrides,
        interfaces: await nics(),
        disks: await finder.list(undefined),
        skipsBmc: skipsBmc(),
        root,
      })
      const names = inventory.interfaces.map(({ name }) => name)
      if (!config.collect_lldp || names.length === 0) return inventory
      switches ??= overrides.orOwn('collectLldpData', [names], () =>
        questions.collectLldpData(names),
      )
      return withLldp(inventory, await switches)
    },
    collectSystemLogs: (signal) => collectSystemLogs({ exec, root }, signal),
    fullSync: async (signal) => {
      const disks = await finder.list(undefined)
      await syncDisks({ exec, root, devices: disks.map(({ name }) => name), signal })
    },
  }
}

/** The single questions of the inventory, as any Linux machine answers them. */
function createQuestions({ config, exec, root, log }: GenericManagerDeps) {
  // BMCs answer slowly and do not move: asked once (contract 6.1), as soon as there is one
  let asked: ReturnType<typeof readBmc> | undefined
  const bmc = async () => {
    if (!(await hasBmc(root))) return NO_BMC
    asked ??= readBmc({ exec, root })
    return await asked
  }
  return {
    getInterfaceInfo: async (name) =>
      await (await openNicReader({ exec, root, log })).describe(name),
    collectLldpData: async (names) => {
      const silenceMs = config.lldp_timeout * 1000
      const heard = await listenForLldp({ interfaces: names, silenceMs }, { exec, log })
      return Object.fromEntries([...(heard ?? [])].map(([name, tlvs]) => [name, tlvs.map(toWire)]))
    },
    getCpus: () => readCpu({ exec, root }),
    getMemory: () => readMemory({ exec, root }),
    getSystemVendorInfo: () => readSystemVendor(root),
    getBootInfo: () => readBoot(root, config.bootif),
    getBmcAddress: async () => (await bmc()).address,
    getBmcV6address: async () => (await bmc()).v6Address,
    getBmcMac: async () => (await bmc()).mac,
    getUsbDevices: () => readUsbDevices(root),
  } satisfies Partial<HardwareMethods>
}

interface InventoryParts {
  readonly questions: ReturnType<typeof createQuestions>
  readonly overrides: Pick<Overrides, 'orOwn'>
  readonly interfaces: readonly WireInterface[]
  readonly disks: readonly Disk[]
  readonly skipsBmc: boolean
  readonly root: Root
}

/** Each question goes to the others first. */
async function takeInventory(parts: InventoryParts): Promise<Inventory> {
  const { questions, overrides, interfaces, disks, root } = parts
  const ask = <
    M extends Exclude<
      keyof typeof questions,
      'getInterfaceInfo' | 'collectLldpData' | 'getUsbDevices'
    >,
  >(
    method: M,
  ) => overrides.orOwn(method, [] as never, questions[method] as never)
  // Ironic manages the BMC of this node by itself, and asking it takes up to 20 s (contract 2.5)
  const askBmc = async () => ({
    address: await ask('getBmcAddress'),
    v6Address: await ask('getBmcV6address'),
    mac: await ask('getBmcMac'),
  })
  const [bmc, cpu, memory, vendor, boot, hostname] = await Promise.all([
    parts.skipsBmc ? NO_BMC : askBmc(),
    ask('getCpus'),
    ask('getMemory'),
    ask('getSystemVendorInfo'),
    ask('getBootInfo'),
    root.readText('/proc/sys/kernel/hostname'),
  ])
  return {
    interfaces,
    cpu,
    disks: disks.map(toWireDisk),
    memory,
    bmc_address: bmc.address,
    bmc_v6address: bmc.v6Address,
    ...(bmc.mac === null ? {} : { bmc_mac: bmc.mac }),
    system_vendor: vendor,
    boot,
    hostname: hostname ?? null,
  }
}

type Switches = HardwareAnswer<'collectLldpData'>

/** IPA's shape: null only where nobody listened. */
function withLldp(inventory: Inventory, switches: Switches): Inventory {
  const interfaces = inventory.interfaces.map((each) => ({
    ...each,
    lldp: switches[each.name] ?? null,
  }))
  return { ...inventory, interfaces }
}

function toWire({ type, value }: Tlv): readonly [number, string] {
  return [type, Buffer.from(value).toString('hex')]
}
