// A partition image becomes an instance: its own GRUB, installed by the shipped ramdisk, starts it by real firmware.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type AgentClient, createAgentClient } from '../../support/fake-ironic/agent-client.ts'
import { ROOT_FS_UUID } from '../../support/image-root/written-disk.ts'
import { hasPartitionImage, PARTITION_IMAGE } from '../../support/vm/partition-image.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { logIn, waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/partition-image')
const TIMEOUT_MS = 600_000

describe.skipIf(!canBootMachines() || !hasPartitionImage())(
  'a partition image',
  { timeout: 2 * TIMEOUT_MS },
  () => {
    test.each([
      ['uefi', 'gpt'],
      ['bios', 'gpt'],
      ['bios', 'msdos'],
    ] as const)('boots by %s from a %s disk', async (firmware, label) => {
      await using lab = await createVmLab(
        {
          ...{ nodes: 1, boot: 'direct', firmware, isSwarm: false, image: PARTITION_IMAGE },
          ...{ memoryMib: 512, ramdisk: findRamdisk(process.env) },
        },
        `${FOLDER}-${firmware}-${label}`,
        'any',
      )
      const machine = lab.machines[0] as QemuMachine
      const client = await boot(lab, machine)
      await run(client, 'standby.prepare_image', {
        image_info: {
          id: 'partition-image',
          urls: [lab.source.origin.url],
          disk_format: 'raw',
          os_hash_algo: 'sha256',
          os_hash_value: lab.source.image.sha256,
          image_type: 'partition',
          ...{ root_gb: '1', root_mb: 1024, swap_mb: 64, ephemeral_mb: 0, ephemeral_format: null },
          ...{ preserve_ephemeral: false, deploy_boot_mode: firmware, disk_label: label },
        },
        configdrive: await lab.configDrive(machine),
      })
      const uuids = await run(client, 'standby.get_partition_uuids', {})
      expect(uuids).toMatchObject({ 'root uuid': ROOT_FS_UUID })
      await run(client, 'image.install_bootloader', {
        root_uuid: ROOT_FS_UUID,
        efi_system_part_uuid: uuids['efi system partition uuid'] ?? null,
        prep_boot_part_uuid: null,
        target_boot_mode: firmware,
      })
      await machine.powerOff()

      bootFromDisk(machine)
      const from = await machine.serial.end()
      await machine.powerOn()
      const { words, console: said } = await waitForInstance(machine, from)
      expect(words).toContain(`firmware=${firmware} hostname=${machine.name}`)
      const espLine = /UUID=[\dA-F]{4}-[\dA-F]{4} \/boot\/efi vfat umask=0077 0 1/
      if (firmware === 'uefi') expect(said).toMatch(espLine)
      await logIn(machine)
      await machine.powerOff()
    })
  },
)

/** Boots the ramdisk; its agent. */
async function boot(lab: VmLab, machine: QemuMachine): Promise<AgentClient> {
  await machine.powerOn()
  const timing = { timeoutMs: TIMEOUT_MS }
  await machine.serial.waitFor(/"msg":"heartbeat sent"|Kernel panic.*/, timing)
  const node = lab.ironic.nodes.get(machine.uuid)
  const target = { url: node?.agentUrl ?? '', token: node?.token ?? '' }
  return createAgentClient(
    { ...target, verifyCa: node?.agentVerifyCa ?? null },
    {
      timeoutMs: 60_000,
      attempts: 3,
      retryDelayMs: 1000,
      sendTokenOnGet: true,
      minTlsVersion: 'TLSv1.2',
      onCall: () => {},
    },
  )
}

/** The result of a command that succeeds. */
async function run(
  client: AgentClient,
  name: string,
  params: object,
): Promise<Record<string, unknown>> {
  await client.command(name, params, false)
  const deadline = performance.now() + TIMEOUT_MS
  while (performance.now() < deadline) {
    const last = (await client.list().catch(() => [])).at(-1)
    if (last !== undefined && last.command_status !== 'RUNNING') {
      expect(last).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
      return { ...last.command_result, ...(last.command_result?.['result'] as object | undefined) }
    }
    await delay(2000)
  }
  throw new Error(`${name} has not ended after ${TIMEOUT_MS / 1000} s`)
}
