// The whole agent stays within 256 MiB in a machine of 512 MiB, however large the disk in the image is. The images are
// sparse; what came of them is compared by cmp on this machine.
//
//   VIRTUAL_GIB=8,2     how large the disks of the qcow2 and of the zstd are instead of 64 and 16 GiB
import { execFile } from 'node:child_process'
import { mkdir, open, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { createProbe } from '../../support/vm/probed-ramdisk.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, imageInfoOf, runStep } from './agent-steps.ts'
import { report } from './deploys.ts'
import { createVmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const GiB = 1024 * MiB
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/memory')
const MOST_BYTES = 256 * MiB
const SERIAL = 'large'
/** Behind the image: for what of a qcow2 is no part of its disk. */
const REST_BYTES = 64 * MiB
const [QCOW2_GIB, ZSTD_GIB] = (process.env['VIRTUAL_GIB'] ?? '64,16').split(',').map(Number)
/** Every process that is there, by name, and the most memory it ever had, once the image is written or has failed. */
const WAIT = `until grep -q -e '"msg":"write image \\(finished\\|failed\\)"' "$LOG"; do sleep 1; done`
const PEAKS = 'grep -H -e ^Name -e ^VmHWM /proc/[0-9]*/status; cat /proc/meminfo'

interface Kind {
  readonly name: string
  readonly gib: number
  readonly diskFormat: string
  make(raw: string, path: string): Promise<unknown>
}
const KINDS: readonly Kind[] = [
  {
    ...{ name: 'qcow2', gib: QCOW2_GIB ?? 64, diskFormat: 'qcow2' },
    make: (raw, path) => run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]),
  },
  {
    ...{ name: 'zst', gib: ZSTD_GIB ?? 16, diskFormat: 'raw' },
    make: (raw, path) => run('zstd', ['-q', '-f', '-1', raw, '-o', path]),
  },
]

/** The small image, as large as asked for, with a MiB of what does not shrink in each sixteenth of it. */
async function makeSparse(path: string, sizeBytes: number): Promise<void> {
  await run('cp', ['--sparse=always', SMALL_IMAGE, path])
  await truncate(path, sizeBytes)
  await run('sgdisk', ['--move-second-header', path])
  await using disk = await open(path, 'r+')
  await using random = await open('/dev/urandom')
  const block = Buffer.alloc(MiB)
  for (let i = 1; i < 16; i++) {
    await random.read(block, 0, block.length)
    await disk.write(block, 0, block.length, i * (sizeBytes / 16))
  }
}

/** Name and bytes of the process that had the most memory. */
function largest(peaks: string): { name: string; bytes: number } {
  const names = new Map<string, string>()
  let found = { name: 'none', bytes: 0 }
  for (const [, pid = '', key, value = ''] of peaks.matchAll(
    /^\/proc\/(\d+)\/status:(\w+):\s*(.*)$/gm,
  )) {
    if (key === 'Name') names.set(pid, value)
    const bytes = Number.parseInt(value, 10) * 1024
    if (key === 'VmHWM' && bytes > found.bytes) found = { name: names.get(pid) ?? pid, bytes }
  }
  return found
}

describe.skipIf(!canBootMachines())('memory', { timeout: 4 * BOOT_TIMEOUT_MS }, () => {
  test.each(KINDS)(
    'of an agent that writes a sparse $name of $gib GiB',
    async ({ name, gib, diskFormat, make }) => {
      const files = `${FOLDER}-${name}-files`
      await rm(files, { recursive: true, force: true })
      await mkdir(files, { recursive: true })
      const [raw, image, target] = ['image.raw', `image.${name}`, 'target'].map((file) =>
        join(files, file),
      ) as [string, string, string]
      await makeSparse(raw, gib * GiB)
      await make(raw, image)
      await using disk = await open(target, 'w')
      await disk.truncate(gib * GiB + REST_BYTES)
      const ramdisk = findRamdisk(process.env)
      await using lab = await createVmLab(
        {
          ...{
            nodes: 1,
            boot: 'direct',
            firmware: 'bios',
            isSwarm: false,
            image,
            memoryMib: 512,
            ramdisk,
          },
          moreDisks: [{ path: target, serial: SERIAL, isLun: false }],
        },
        `${FOLDER}-${name}`,
        'any',
      )
      const machine = lab.machines[0] as QemuMachine
      const { kernel } = machine.setup
      if (!kernel) throw new Error('the laboratory gives its machine no kernel')
      await using probe = await createProbe(ramdisk.initramfs, [WAIT, PEAKS], files)
      machine.setup.kernel = { ...kernel, initramfs: probe.initramfs }
      const client = await bootAgent(lab, machine)
      const began = performance.now()
      const written = await runStep(client, {
        ...{ kind: 'deploy', step: 'write_image', interface: 'deploy' },
        args: { image_info: { ...imageInfoOf(lab), disk_format: diskFormat } },
        node: { uuid: machine.uuid, properties: { root_device: { serial: SERIAL } } },
      })
      const seconds = (performance.now() - began) / 1000
      expect(written).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
      const { outputs } = await probe.report
      const peak = largest(outputs[1] ?? '')
      console.log(
        `${name} of ${gib} GiB: ${peak.name} had ${Math.round(peak.bytes / MiB)} MiB at most`,
      )
      report(name, { written: seconds })
      await machine.powerOff()
      // but for the two tables, which tell how large the disk is
      const bytes = gib * GiB - 2 * MiB
      await run('cmp', [`--ignore-initial=${MiB}`, `--bytes=${bytes}`, raw, target])
      expect(peak.bytes).toBeGreaterThan(0)
      expect(peak.bytes).toBeLessThanOrEqual(MOST_BYTES)
      await rm(files, { recursive: true })
    },
  )
})
