// SPDX-License-Identifier: Apache-2.0
// Owns the deploys of one format each: raw, packed, and containers, into a whole disk and into a partition.
import type { Packer } from '../../support/formats/packed-image.ts'
import { AS_IT_COMES, type DeployCase, UNPACKED } from './deploy-case.ts'

const AGAIN = [...AS_IT_COMES, ...UNPACKED] as const

/** Formats by their names and drivers, with options of qemu-img(1), and whether the file is kept until it is unpacked. */
const CONTAINERS = [
  ['qcow2', 'qcow2', [], AS_IT_COMES],
  ['qcow2', 'qcow2', ['-c'], AS_IT_COMES],
  ['qcow2', 'qcow2', ['-c', '-o', 'compression_type=zstd'], AS_IT_COMES],
  ['qcow2', 'qcow2', ['-o', 'extended_l2=on,cluster_size=128k'], AS_IT_COMES],
  ['vmdk', 'vmdk', ['-o', 'subformat=streamOptimized'], AGAIN],
  ['vhd', 'vpc', ['-o', 'force_size=on'], AGAIN],
  ['vhdx', 'vhdx', [], AGAIN],
  ['vdi', 'vdi', [], AGAIN],
] as const

const packed = (packer: Packer): DeployCase => ({
  name: `a disk that is packed by ${packer}`,
  image: 'gpt',
  make: [['pack', packer]],
  steps: AS_IT_COMES,
})

export const FORMAT_CASES: readonly DeployCase[] = [
  { name: 'a raw disk with an MBR', image: 'mbr', make: [], steps: AS_IT_COMES },
  ...(['gzip', 'xz', 'bzip2', 'pzstd'] as const).map(packed),
  ...CONTAINERS.map(
    ([disk_format, driver, options, steps]): DeployCase => ({
      name: `a ${disk_format} of qemu-img ${options.join(' ')}, named and permitted`,
      image: 'gpt',
      make: [['convert', driver, ...options]],
      fields: { disk_format },
      permitted: ['raw', disk_format],
      steps,
    }),
  ),
  {
    name: 'a partition image that is packed by zstd',
    image: 'ext4',
    make: [['pack', 'zstd']],
    steps: AS_IT_COMES,
  },
  {
    name: 'a partition image in a qcow2',
    image: 'ext4',
    make: [['convert', 'qcow2', '-c']],
    fields: { disk_format: 'qcow2' },
    steps: AS_IT_COMES,
  },
]
