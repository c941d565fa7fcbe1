// SPDX-License-Identifier: Apache-2.0
// Owns the inventory of a machine, put together of what other managers say and else of what any Linux machine does.
// Does not read the machine (questions.ts, collectors/).
import type { Config } from '../../config/options.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { NO_BMC } from '../collectors/bmc.ts'
import { openNicReader } from '../collectors/nics.ts'
import type { Disk, Inventory, WireInterface } from '../inventory.ts'
import type { HardwareAnswer } from '../manager.ts'
import { toWireDisk } from '../wire-disk.ts'
import type { Overrides } from './overrides.ts'
import type { Questions } from './questions.ts'

export interface InventoryDeps {
  readonly config: Pick<Config, 'collect_lldp'>
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly questions: Questions
  readonly overrides: Pick<Overrides, 'orOwn' | 'interfaces'>
  readonly listDisks: () => Promise<readonly Disk[]>
  /** True when the inventory has to do without the BMC; asked each time, since the lookup may change it. */
  readonly skipsBmc: () => boolean
}

export class InventoryTaker {
  readonly #deps: InventoryDeps
  /** They do not move, and one is waited for as long as half a minute: asked once. */
  #switches: Promise<Switches> | undefined

  constructor(deps: InventoryDeps) {
    this.#deps = deps
  }

  /** The network interfaces as they are now. */
  async interfaces(): Promise<WireInterface[]> {
    const reader = await openNicReader(this.#deps)
    return await this.#deps.overrides.interfaces(reader.names, (name) => reader.describe(name))
  }

  /** All of the machine, with what its switches say where `collect_lldp` asks for it. */
  async take(): Promise<Inventory> {
    const inventory = await askAll(this.#deps, {
      interfaces: await this.interfaces(),
      disks: await this.#deps.listDisks(),
      skipsBmc: this.#deps.skipsBmc(),
    })
    const names = inventory.interfaces.map(({ name }) => name)
    if (!this.#deps.config.collect_lldp || names.length === 0) return inventory
    this.#switches ??= this.#askSwitches(names)
    return withLldp(inventory, await this.#switches)
  }

  #askSwitches(names: readonly string[]): Promise<Switches> {
    const { overrides, questions } = this.#deps
    return overrides.orOwn('collectLldpData', [names], () => questions.collectLldpData(names))
  }
}

interface Listed {
  readonly interfaces: readonly WireInterface[]
  readonly disks: readonly Disk[]
  readonly skipsBmc: boolean
}

/** Each question goes to the others first. */
async function askAll(
  { questions, overrides, root }: InventoryDeps,
  { interfaces, disks, skipsBmc }: Listed,
): Promise<Inventory> {
  const ask = <
    M extends Exclude<keyof Questions, 'getInterfaceInfo' | 'collectLldpData' | 'getUsbDevices'>,
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
    skipsBmc ? NO_BMC : askBmc(),
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
