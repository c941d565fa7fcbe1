// SPDX-License-Identifier: Apache-2.0
// Owns how virtual media are found and read on the machine: lsblk, sysfs, and mtools, which read a vfat
// floppy without mounting it (a mount would lock the disk). config/virtual-media.ts decides.
import type { ConfigTree } from '../config/load.ts'
import type { DeviceChainLink, VirtualMediaReader } from '../config/virtual-media.ts'
import { isObject, stringAt } from '../core/json.ts'
import { exec } from './exec.ts'
import { parseLsblkJson } from './lsblk.ts'

/** A reader of the real machine; what cannot be read counts as not there, as contract 1.4 wants. */
export function createVirtualMediaReader(tree: ConfigTree): VirtualMediaReader {
  const lsblk = async (...args: string[]): Promise<unknown[]> => {
    try {
      const { stdout } = await exec(['lsblk', '--json', '-b', '-p', ...args])
      const answer = parseLsblkJson(stdout)
      const devices = isObject(answer) ? answer['blockdevices'] : undefined
      return Array.isArray(devices) ? devices : []
    } catch {
      return []
    }
  }
  return {
    devices: async () => {
      const rows = await lsblk('-l', '-o', 'KNAME,LABEL')
      return Promise.all(
        rows.map(async (row) => {
          const path = stringAt(row, 'kname') ?? ''
          const name = path.split('/').at(-1)
          const model = await tree.readText(`/sys/class/block/${name}/device/model`)
          return { path, label: stringAt(row, 'label') ?? null, model: model ?? null }
        }),
      )
    },
    chain: async (path) =>
      (await lsblk('-l', '-s', '-o', 'KNAME,TRAN,TYPE,SIZE', path)).map(
        (row): DeviceChainLink => ({
          type: stringAt(row, 'type') ?? 'unknown',
          transport: stringAt(row, 'tran') ?? null,
          sizeBytes: isObject(row) ? Number(row['size']) : Number.POSITIVE_INFINITY,
        }),
      ),
    readFile: async (path, name) => {
      try {
        const { stdout } = await exec(['mtype', '-i', path, `::${name}`], { maxBytes: 128 * 1024 })
        return stdout
      } catch {
        return undefined
      }
    },
  }
}
