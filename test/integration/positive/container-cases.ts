// SPDX-License-Identifier: Apache-2.0
// Owns the deploys of containers that are packed in a file: which packings, of which containers, into which place.
import { MiB } from '../image/deploy-lab.ts'
import { AS_IT_COMES, type DeployCase, UNPACKED } from './deploy-case.ts'

const AGAIN = [...AS_IT_COMES, ...UNPACKED] as const
const QCOW2 = { disk_format: 'qcow2' } as const

export const CONTAINER_CASES: readonly DeployCase[] = [
  ...(['zstd', 'pzstd', 'gzip', 'bgzip', 'xz', 'bzip2'] as const).map((packer) => ({
    name: `a qcow2 in a file of ${packer}`,
    image: 'gpt' as const,
    make: [
      ['convert', 'qcow2'],
      ['pack', packer],
    ] as const,
    fields: QCOW2,
    steps: AGAIN,
  })),
  {
    name: 'one whose clusters are packed too',
    image: 'gpt',
    make: [
      ['convert', 'qcow2', '-c', '-o', 'compression_type=zstd'],
      ['pack', 'zstd'],
    ],
    fields: QCOW2,
    steps: AGAIN,
  },
  {
    name: 'one of small clusters, with an MBR, by a node that says how it is packed',
    image: 'mbr',
    make: [
      ['convert', 'qcow2', '-o', 'cluster_size=512'],
      ['pack', 'gzip'],
    ],
    fields: QCOW2,
    node: { instance_info: { image_compression_type: 'gzip' } },
    steps: AGAIN,
  },
  {
    name: 'one of which nothing is named',
    image: 'gpt',
    make: [
      ['convert', 'qcow2'],
      ['pack', 'xz'],
    ],
    fields: { disk_format: null },
    steps: AGAIN,
  },
  {
    name: 'one from a server that gives no parts of a file',
    image: 'gpt',
    make: [
      ['convert', 'qcow2', '-c'],
      ['pack', 'bzip2'],
    ],
    fields: QCOW2,
    ignoresRange: true,
    steps: AGAIN,
  },
  {
    name: 'one that comes from a swarm: the file is kept, the qcow2 in it lies before it',
    image: 'gpt',
    make: [
      ['convert', 'qcow2', '-c'],
      ['pack', 'zstd'],
    ],
    fields: QCOW2,
    disk: { sizeBytes: 180 * MiB },
    isSwarm: true,
    steps: [...AGAIN, ...UNPACKED],
  },
  {
    name: 'one of a partition image, on a disk of sectors of 4096 bytes',
    image: 'ext4',
    make: [
      ['convert', 'qcow2', '-c'],
      ['pack', 'zstd'],
    ],
    fields: QCOW2,
    disk: { sectorBytes: 4096 },
    steps: AGAIN,
  },
  {
    name: 'a vmdk, which is streamOptimized as VMware packs it',
    image: 'gpt',
    make: [
      ['convert', 'vmdk', '-o', 'subformat=streamOptimized'],
      ['pack', 'gzip'],
    ],
    fields: { disk_format: 'vmdk' },
    permitted: ['raw', 'vmdk'],
    steps: AGAIN,
  },
  {
    name: 'a vdi',
    image: 'mbr',
    make: [
      ['convert', 'vdi'],
      ['pack', 'xz'],
    ],
    fields: { disk_format: 'vdi' },
    permitted: ['raw', 'vdi'],
    steps: AGAIN,
  },
  {
    name: 'a vhd',
    image: 'mbr',
    make: [
      ['convert', 'vpc', '-o', 'force_size=on'],
      ['pack', 'zstd'],
    ],
    fields: { disk_format: 'vhd' },
    permitted: ['raw', 'vhd'],
    steps: AGAIN,
  },
]
