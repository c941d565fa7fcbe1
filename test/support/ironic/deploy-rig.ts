// SPDX-License-Identifier: Apache-2.0
// Owns what deploys by a real Ironic share: the Ironic with its machines, asking for a deploy with a config drive, and finding
// that on the disk. Does not know what is deployed.
import { open } from 'node:fs/promises'
import type { AgentProcess } from '../agent-process.ts'
import { readPartitionTable } from '../compare-disk.ts'
import type { DiskImage } from '../disk-image.ts'
import { type Ironic, type IronicOptions, startIronic } from '../ironic.ts'
import { createMachines, type Machine, type Machines } from './machines.ts'
import { IRONIC_UNDER_TEST } from './program.ts'

const MiB = 1024 * 1024

export const CONFIGDRIVE = {
  meta_data: { hostname: 'instance-of-the-test', uuid: 'b4e3c1f0-0000-4000-8000-000000000001' },
  user_data: '#!/bin/sh\necho ironswarm\n',
}

/** `instance_info` of a node that is to get the image from there. */
export function infoOf(
  url: string,
  { sha256 }: Pick<DiskImage, 'sha256'>,
  fields: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    image_source: url,
    image_os_hash_algo: 'sha256',
    image_os_hash_value: sha256,
    ...fields,
  }
}

export interface Rig extends AsyncDisposable {
  readonly ironic: Ironic
  readonly machines: Machines
}

export async function createRig(
  options: Pick<IronicOptions, 'requireTls' | 'imageCa'>,
): Promise<Rig> {
  const ironic = await startIronic({ program: IRONIC_UNDER_TEST, ...options })
  const machines = await createMachines(ironic)
  return {
    ironic,
    machines,
    [Symbol.asyncDispose]: async () => {
      await ironic[Symbol.asyncDispose]()
      await machines[Symbol.asyncDispose]()
    },
  }
}

/** Asks Ironic to deploy, and boots the machine when Ironic expects its ramdisk. */
export async function startDeploy(
  { ironic }: Rig,
  { uuid, boot }: Machine,
  target: 'active' | 'rebuild' = 'active',
): Promise<AgentProcess> {
  await ironic.provision(uuid, target, { configdrive: CONFIGDRIVE })
  // before it, the node is locked and a lookup is answered 409
  await ironic.waitFor(uuid, ['wait call-back'])
  return boot()
}

export async function deploy(...args: Parameters<typeof startDeploy>): Promise<AgentProcess> {
  const [{ ironic }, { uuid }] = args
  const agent = await startDeploy(...args)
  await ironic.waitFor(uuid, ['active'])
  return agent
}

/** The start of the partition that holds an ISO 9660 volume, the last one of the table, as Latin-1. */
export async function readConfigDrive(device: string): Promise<string> {
  const table = await readPartitionTable(device)
  const partition = table?.partitions?.toSorted((a, b) => b.start - a.start)[0]
  if (!partition) throw new Error(`${device} has no partitions`)
  await using disk = await open(device)
  const bytes = Buffer.alloc(Math.min(partition.size * 512, 4 * MiB))
  await disk.read(bytes, 0, bytes.length, partition.start * 512)
  return bytes.toString('latin1')
}
