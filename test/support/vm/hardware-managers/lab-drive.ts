// SPDX-License-Identifier: Apache-2.0
// A third-party hardware manager of tests, for a ramdisk of their own: machines with the drive LAB have a step by which the
// drive is asked about itself, others that run programs, leave a boot entry and crash the machine; they name their own USB
// devices, and hide a disk. Beside the interface it needs nothing of this project.
import type { CreateHardwareManager } from '../../../../agent/hardware/custom/interface.ts'

export const apiVersion = 1

export const createHardwareManager: CreateHardwareManager = (agent) => ({
  name: 'lab_drive',
  version: '1.0',
  evaluateHardwareSupport: async () => {
    const { stdout } = await agent.exec(['lsblk', '--nodeps', '--noheadings', '--output', 'SERIAL'])
    return stdout.split('\n').some((serial) => serial.trim() === 'LAB') ? 3 : 0
  },
  filterDevice: (_kind: string, device: unknown) =>
    (device as { serial?: unknown }).serial === 'HIDDEN' ? null : (device as never),
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
      step: 'run_programs',
      priority: 0,
      argsinfo: { programs: { description: 'words of each', required: true } },
      touchesDisks: false,
      run: async ({ args }) => {
        const said: string[] = []
        for (const words of args['programs'] as [string, ...string[]][]) {
          said.push((await agent.exec(words)).stdout.trim())
        }
        return said
      },
    },
    {
      kinds: ['clean'],
      step: 'leave_boot_entry',
      priority: 0,
      argsinfo: { path: { description: 'of the drive', required: true } },
      run: async ({ args }) => {
        const path = String(args['path'])
        await agent.exec(['sgdisk', '--new=1:2048:+1M', path])
        const loader = [
          '--part',
          '1',
          '--label',
          'old tenant',
          '--loader',
          '\\EFI\\old\\shimx64.efi',
        ]
        await agent.exec(['efibootmgr', '--create', '--disk', path, ...loader])
      },
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
