// SPDX-License-Identifier: Apache-2.0
// Owns the single questions of an inventory, as any Linux machine answers them. Does not ask other managers first
// (overrides.ts) and does not put an inventory together (inventory-taker.ts).
import type { Config } from '../../config/options.ts'
import type { Exec } from '../../system/exec.ts'
import { listenForLldp } from '../../system/lldp/lldp.ts'
import type { Tlv } from '../../system/lldp/lldpdu.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { hasBmc, NO_BMC, readBmc } from '../collectors/bmc.ts'
import { readBoot } from '../collectors/boot.ts'
import { readCpu } from '../collectors/cpus.ts'
import { readMemory } from '../collectors/memory.ts'
import { openNicReader } from '../collectors/nics.ts'
import { readSystemVendor } from '../collectors/system-vendor.ts'
import { readUsbDevices } from '../collectors/usb.ts'
import type { HardwareMethods } from '../manager.ts'

export interface QuestionDeps {
  readonly config: Pick<Config, 'bootif' | 'lldp_timeout'>
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
}

export type Questions = ReturnType<typeof createQuestions>

/** Nothing has been asked yet. */
export function createQuestions({ config, exec, root, log }: QuestionDeps) {
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

function toWire({ type, value }: Tlv): readonly [number, string] {
  return [type, Buffer.from(value).toString('hex')]
}
