import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { readPartitionTable } from '../../support/compare-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { ROOT_UUID } from '../../support/root-image.ts'
import { deployTo, openersOf } from './deploy-lab.ts'
import { createPartitionLab, loopsOver, onWindow, probeAt, sha256Of } from './partition-lab.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('partition images') && hasPackages('agent')

describe.runIf(canRun)('deploying a partition image by HTTP', () => {
  test('makes a GPT with an ESP, swap and ephemeral partition, and the image in the last one', async () => {
    await using lab = await createPartitionLab()
    const deployed = await deployTo(
      lab.disk.path,
      lab.imageInfo({ swap_mb: 32, ephemeral_mb: 96, ephemeral_format: 'ext4' }),
    )
    const table = await readPartitionTable(lab.disk.path)
    expect(table?.label).toBe('gpt')
    const rows = table?.partitions?.map(({ start, size, type }) => [
      start / 2048,
      size / 2048,
      type,
    ])
    expect(rows).toEqual([
      [1, 550, 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'],
      [551, 96, '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
      [647, 32, '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F'],
      [679, 64, '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
    ])
    const { stdout } = await run('sgdisk', ['--verify', lab.disk.path])
    expect(stdout).toContain('No problems found')
    await run('sfdisk', ['--verify', lab.disk.path])
    const [esp, ephemeral, swap, root] = deployed.partitions?.list ?? []
    if (!esp || !ephemeral || !swap || !root) throw new Error('a partition is missing')
    expect(await sha256Of(lab.disk.path, { ...root.range, length: lab.image.sizeBytes })).toBe(
      lab.image.sha256,
    )
    await onWindow(lab.disk.path, root.range, ['e2fsck', '-fn'])
    await onWindow(lab.disk.path, ephemeral.range, ['e2fsck', '-fn'])
    await onWindow(lab.disk.path, esp.range, ['fsck.vfat', '-n'])
    expect(await probeAt(lab.disk.path, esp.range)).toMatchObject({
      TYPE: 'vfat',
      LABEL: 'efi-part',
      UUID: esp.uuid,
    })
    expect(await probeAt(lab.disk.path, swap.range)).toMatchObject({ TYPE: 'swap', LABEL: 'swap1' })
    expect(await probeAt(lab.disk.path, ephemeral.range)).toMatchObject({
      TYPE: 'ext4',
      LABEL: 'ephemeral0',
    })
    expect(deployed.rootUuid).toBe(ROOT_UUID)
    expect(table?.partitions?.map(({ node }) => node)).toEqual(
      deployed.partitions?.list.map(({ path }) => path),
    )
    expect(table?.partitions?.map(({ uuid }) => uuid?.toLowerCase())).toEqual(
      deployed.partitions?.list.map(({ partUuid }) => partUuid),
    )
    expect(await loopsOver(lab.disk.path)).toBe('')
    expect(await openersOf(lab.disk.path)).toEqual([])
  })
})
