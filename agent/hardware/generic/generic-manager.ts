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
import { type Bmc, NO_BMC, readBmc } from '../collectors/bmc.ts'
import { readBoot } from '../collectors/boot.ts'
import { readCpu } from '../collectors/cpus.ts'
import { listDisks } from '../collectors/disks.ts'
import { readMemory } from '../collectors/memory.ts'
import { listNetworkInterfaces } from '../collectors/nics.ts'
import { readSystemVendor } from '../collectors/system-vendor.ts'
import { createPstoreStep } from '../firmware/pstore.ts'
import { createNvramSteps } from '../firmware/uefi-nvram.ts'
import { createInjectStep } from '../inject/inject-files.ts'
import type { Disk, Inventory, WireDisk } from '../inventory.ts'
import { collectSystemLogs } from '../log-bundle/system-logs.ts'
import { type HardwareManager, type StepImplementation, SUPPORT } from '../manager.ts'
import { createRootVolumes } from '../raid/root-volume.ts'
import { createRaidSteps } from '../raid/steps.ts'
import { markSkipped } from '../root-device-hints.ts'
import { createEraseSteps } from './erase/steps.ts'
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

/** The manager that supports every machine, if no better one does. */
export function createGenericManager(deps: GenericManagerDeps): HardwareManager {
  const { config, exec, root, log, skipsBmc = () => config.agent_skip_bmc_detect } = deps
  const list = (erasesRaidMembers: boolean) =>
    listDisks({ exec, root, listed: config.block_devices, erasesRaidMembers })
  const rootVolumes = createRootVolumes()
  const finder = createRootDiskFinder({
    listDisks: () => list(config.erase_raid_members),
    rootVolumes,
    log,
    waitAttempts: config.disk_wait_attempts,
    waitDelayMs: config.disk_wait_delay * 1000,
  })
  // BMCs answer slowly and do not move: asked once (contract 6.1)
  let bmc: Promise<Bmc> | undefined
  // switches do not move either, and one is waited for as long as half a minute
  let switches: Promise<Switches> | undefined
  return {
    name: 'generic_hardware_manager',
    version: '1.5',
    label: 'GenericHardwareManager',
    evaluateHardwareSupport: async () => SUPPORT.GENERIC,
    steps: [
      WRITE_IMAGE,
      createInjectStep({ ...deps, findDisk: async (node) => (await finder.find(node)).name }),
      ...createEraseSteps({ ...deps, listDisks: (node) => finder.listMarked(node) }),
      createPstoreStep(deps),
      ...createNvramSteps(deps),
      ...createRaidSteps({
        ...deps,
        pausePath: ASSEMBLY_PAUSE,
        rootVolumes,
        listed: config.block_devices,
        listDisks: (node) => finder.listMarked(node),
        listOldMembers: async (node) => markSkipped(await list(true), skipListOf(node)),
      }),
    ],
    listNetworkInterfaces: () => listNetworkInterfaces({ exec, root, log }),
    listBlockDevices: (node) => finder.list(node),
    getOsInstallDevice: (node) => finder.find(node),
    waitForDisks: (node, signal) => finder.wait(node, signal),
    listHardwareInfo: async () => {
      // Ironic manages the BMC of this node by itself, and asking it takes up to 20 s (contract 2.5)
      if (!skipsBmc()) bmc ??= readBmc({ exec, root })
      const known = skipsBmc() || !bmc ? NO_BMC : await bmc
      const inventory = await takeInventory(deps, await finder.list(undefined), known)
      if (!config.collect_lldp || inventory.interfaces.length === 0) return inventory
      switches ??= listenForLldp(
        {
          interfaces: inventory.interfaces.map(({ name }) => name),
          silenceMs: config.lldp_timeout * 1000,
        },
        deps,
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

async function takeInventory(
  { config, exec, root, log }: GenericManagerDeps,
  disks: readonly Disk[],
  bmc: Bmc,
): Promise<Inventory> {
  const [interfaces, cpu, memory, vendor, boot, hostname] = await Promise.all([
    listNetworkInterfaces({ exec, root, log }),
    readCpu({ exec, root }),
    readMemory(root),
    readSystemVendor(root),
    readBoot(root, config.bootif),
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

type Switches = Awaited<ReturnType<typeof listenForLldp>>

/** IPA's shape: null only where nobody listened. */
function withLldp(inventory: Inventory, switches: Switches): Inventory {
  const toWire = ({ type, value }: Tlv) => [type, Buffer.from(value).toString('hex')] as const
  const interfaces = inventory.interfaces.map((each) => ({
    ...each,
    lldp: switches?.get(each.name)?.map(toWire) ?? null,
  }))
  return { ...inventory, interfaces }
}

function toWireDisk(disk: Disk): WireDisk {
  return {
    name: disk.name,
    model: disk.model,
    size: disk.sizeBytes,
    rotational: disk.rotational,
    wwn: disk.wwn,
    serial: disk.serial,
    vendor: disk.vendor,
    wwn_with_extension: disk.wwnWithExtension,
    wwn_vendor_extension: disk.wwnVendorExtension,
    hctl: disk.hctl,
    by_path: disk.byPath,
    logical_sectors: disk.logicalSectorBytes,
    physical_sectors: disk.physicalSectorBytes,
    tran: disk.transport,
  }
}
