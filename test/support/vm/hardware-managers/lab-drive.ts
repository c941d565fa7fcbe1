// SPDX-License-Identifier: Apache-2.0
// A third-party hardware manager of tests, for a ramdisk of their own: machines with the drive LAB have a step by which the
// drive is asked about itself, another that crashes the machine, and name their own USB devices. Beside the interface it needs nothing of this project.
import type { CreateHardwareManager } from '../../../../agent/hardware/custom/interface.ts'

export const apiVersion = 1

export const createHardwareManager: CreateHardwareManager = (agent) => ({
  name: 'lab_drive',
  version: '1.0',
  evaluateHardwareSupport: async () => {
    const { stdout } = await agent.exec(['lsblk', '--nodeps', '--noheadings', '--output', 'SERIAL'])
    return stdout.split('\n').some((serial) => serial.trim() === 'LAB') ? 3 : 0
  },
  getUsbDevices: () => [{ product: 'Dongle', vendor: 'LAB', handle: 'USB:1:7' }],
  steps: [
    {
      kinds: ['clean'],
      step: 'crash_machine',
      priority: 0,
      touchesDisks: false,
      run: () => agent.exec(['sh', '-c', 'echo c > /proc/sysrq-trigger']),
    },
    {
      kinds: ['clean'],
      step: 'ask_lab_drive',
      priority: 0,
      argsinfo: { path: { description: 'of the drive', required: true } },
      touchesDisks: false,
      run: async ({ args, node }) => {
        const path = String(args['path'])
        const { stdout } = await agent.exec(['nvme', 'id-ctrl', path, '--output-format', 'json'])
        const { sn, oacs, sanicap } = JSON.parse(stdout)
        const name = path.replace('/dev/', '')
        const nqn = await agent.exec(['cat', `/sys/class/block/${name}/device/subsysnqn`])
        return {
          serial: sn.trim(),
          oacs,
          sanicap,
          subsystem: nqn.stdout.trim(),
          node: node['uuid'],
        }
      },
    },
  ],
})
