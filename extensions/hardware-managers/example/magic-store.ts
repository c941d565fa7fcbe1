// SPDX-License-Identifier: Apache-2.0
// An example of a third-party hardware manager: drives of one maker that erase themselves by the maker's own program,
// a management LUN on them that nobody may touch, and a step of its own. docs/hardware-managers.md explains it.
// Beside a copy of the interface it needs nothing of this project: the types are gone before it runs.
import type {
  BlockDevice,
  CreateHardwareManager,
} from '../../../agent/hardware/custom/interface.ts'

export const apiVersion = 1

const MODEL = /^ACME MagicStore/

export const createHardwareManager: CreateHardwareManager = (agent) => ({
  name: 'magic_store',
  version: '1.0',

  /** Does a machine have them? Anything that can be asked of Linux can be asked here. */
  evaluateHardwareSupport: async () => {
    const { stdout } = await agent.exec(['lsblk', '--nodeps', '--noheadings', '--output', 'MODEL'])
    return stdout.split('\n').some((model) => MODEL.test(model.trim())) ? 2 : 0
  },

  /** The management LUN is no disk: neither Ironic nor cleaning shall see it. */
  filterDevice: <Device extends object>(kind: string, device: Device): Device | null => {
    if (kind !== 'disk') agent.decline('only disks are known here')
    const { model } = device as unknown as BlockDevice
    return model === 'ACME MagicStore MGMT' ? null : device
  },

  eraseBlockDevice: async (_node, disk) => {
    if (!MODEL.test(disk.model ?? '')) agent.decline(`${disk.name} is no MagicStore`)
    await agent.exec(['magicstore', 'sanitize', '--wait', disk.name], { timeoutMs: 3_600_000 })
    return 'sanitized by magicstore'
  },

  steps: [
    {
      kinds: ['clean', 'service'],
      step: 'update_magic_store_firmware',
      priority: 0,
      reboot_requested: true,
      abortable: false,
      argsinfo: { version: { description: 'Firmware to install, x.y.z', required: true } },
      touchesDisks: false,
      timeoutSeconds: 1800,
      run: async ({ args }) => {
        const version = String(args['version'])
        if (!/^\d+\.\d+\.\d+$/.test(version)) {
          agent.fail('InvalidCommandParamsError', `version ${version} is not of the form x.y.z`)
        }
        agent.log('info', 'magic store firmware', { version })
        const { stdout } = await agent.exec(['magicstore', 'firmware', version], {
          timeoutMs: 1_500_000,
        })
        return { firmware: stdout.trim() }
      },
    },
  ],
})
