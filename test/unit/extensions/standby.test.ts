import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import type { ImageWriterDeps } from '../../../agent/deploy/image-writer.ts'
import type { PartitionKind } from '../../../agent/disk/partitioning/disk-layout.ts'
import {
  uuidOf,
  type WrittenPartitions,
} from '../../../agent/disk/partitioning/written-partitions.ts'
import { createExtensionLab, writtenImage } from './extension-lab.ts'

const IMAGE_INFO = {
  id: 'img.raw',
  urls: ['http://192.0.2.1/img.raw'],
  disk_format: 'raw',
  os_hash_algo: 'sha256',
  os_hash_value: 'ab'.repeat(32),
}

const PREPARE = { image_info: IMAGE_INFO, configdrive: null }

describe('standby.prepare_image', () => {
  test('writes the image and answers with the sentence of the contract', async () => {
    await using lab = await createExtensionLab()
    expect(await lab.run('standby.prepare_image', PREPARE)).toBe(
      `image (img.raw) written to device ${lab.diskPath} root_uuid=0x1234abcd`,
    )
  })

  test.each([
    ['no image_info', {}],
    ['an image without id', { image_info: { ...IMAGE_INFO, id: undefined } }],
    ['an image without urls', { image_info: { ...IMAGE_INFO, urls: [] } }],
    [
      'an image without checksum',
      { image_info: { ...IMAGE_INFO, os_hash_algo: null, os_hash_value: null } },
    ],
    ['a config drive that is an object', { ...PREPARE, configdrive: { meta_data: {} } }],
    ['an unknown parameter', { ...PREPARE, force: true }],
  ])('refuses %s with 400 before anything runs', async (_, params) => {
    await using lab = await createExtensionLab()
    await expect(lab.run('standby.prepare_image', params)).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      status: 400,
    })
    expect(lab.deploys).toEqual([])
  })

  test('accepts MD5 only where md5_enabled', async () => {
    const params = {
      image_info: { ...IMAGE_INFO, os_hash_algo: 'md5', os_hash_value: 'a'.repeat(32) },
    }
    await using allowing = await createExtensionLab()
    await allowing.run('standby.prepare_image', params)
    await using refusing = await createExtensionLab({ config: { md5_enabled: false } })
    await expect(refusing.run('standby.prepare_image', params)).rejects.toMatchObject({
      status: 400,
    })
  })

  test('writes one image at a time', async () => {
    const gate = Promise.withResolvers<void>()
    const writeImage: ImageWriterDeps['writeImage'] = async (request) => {
      await gate.promise
      return writtenImage(request, [])
    }
    await using lab = await createExtensionLab({ writeImage })
    const first = lab.run('standby.prepare_image', PREPARE)
    await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toMatchObject({
      type: 'AgentIsBusy',
    })
    gate.resolve()
    await first
    await lab.run('standby.prepare_image', PREPARE)
    expect(lab.deploys).toHaveLength(2)
  })

  test('ends the seeding of the last deploy before it writes again', async () => {
    await using lab = await createExtensionLab()
    await lab.run('standby.prepare_image', PREPARE)
    expect(lab.deps.deploy.seeding.isSeeding()).toBe(true)
    await lab.run('standby.prepare_image', PREPARE)
    expect(lab.events).toEqual(['deploy', 'seeding ended', 'deploy'])
  })

  test('looks the node up again for its hints where the node has none', async () => {
    const node = { uuid: 'n', properties: { root_device: { name: '/dev/sdq' } } }
    await using lab = await createExtensionLab({ deps: { refreshNode: async () => node } })
    await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toMatchObject({
      type: 'DeviceNotFound',
    })
    expect(lab.deps.nodeCache.current()).toBe(node)
  })

  test.each([
    ['properties', {}],
    ['instance_info', {}],
    ['properties', null],
    ['properties', ''],
  ])('looks it up again as well where %s.root_device is %j', async (holder, root_device) => {
    const node = { uuid: 'n', properties: { root_device: { name: '/dev/sdq' } } }
    await using lab = await createExtensionLab({ deps: { refreshNode: async () => node } })
    lab.deps.nodeCache.set({ uuid: 'n', [holder]: { root_device } })
    await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toMatchObject({
      type: 'DeviceNotFound',
    })
    expect(lab.deps.nodeCache.current()).toBe(node)
  })

  test('does not look it up again where either has a hint', async () => {
    for (const holder of ['properties', 'instance_info']) {
      let lookUps = 0
      const refreshNode = async () => {
        lookUps += 1
        return undefined
      }
      await using lab = await createExtensionLab({ deps: { refreshNode } })
      lab.deps.nodeCache.set({ uuid: 'n', [holder]: { root_device: { name: '/dev/sdq' } } })
      await lab.run('standby.prepare_image', PREPARE).catch(() => undefined)
      expect(lookUps).toBe(0)
    }
  })

  test('takes the torrent that the node names once it has been looked up', async () => {
    const torrentUrl = 'http://192.0.2.1/img.torrent'
    const node = { uuid: 'n', instance_info: { image_torrent_file: torrentUrl } }
    await using lab = await createExtensionLab({ deps: { refreshNode: async () => node } })
    await lab.run('standby.prepare_image', PREPARE)
    expect(lab.deploys[0]?.imageInfo.torrent?.urls).toEqual([torrentUrl])
  })

  test('refuses a torrent that the node it knows names in vain, before anything runs', async () => {
    let lookUps = 0
    const refreshNode = async () => {
      lookUps += 1
      return undefined
    }
    await using lab = await createExtensionLab({ deps: { refreshNode } })
    lab.deps.nodeCache.set({ uuid: 'n', instance_info: { image_torrent_file: 'no url' } })
    await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toMatchObject({ status: 400 })
    expect([lookUps, lab.deploys]).toEqual([0, []])
  })

  test('goes on with the node it knows when the lookup fails', async () => {
    const refreshNode = async () => {
      throw new AgentError('LookupNodeError', 'no answer')
    }
    await using lab = await createExtensionLab({ deps: { refreshNode } })
    await lab.run('standby.prepare_image', PREPARE)
    expect(lab.deploys).toHaveLength(1)
  })
})

describe('standby.get_partition_uuids', () => {
  test('is empty while nothing was written', async () => {
    await using lab = await createExtensionLab()
    expect(await lab.run('standby.get_partition_uuids')).toEqual({})
  })

  test('has the key `root uuid`, with its space, after a write', async () => {
    await using lab = await createExtensionLab()
    await lab.run('standby.prepare_image', PREPARE)
    expect(await lab.run('standby.get_partition_uuids')).toEqual({ 'root uuid': '0x1234abcd' })
  })

  test('is told by an agent that was started again, until the disk is written or released', async () => {
    await using lab = await createExtensionLab()
    const restarted = () => createExtensionLab({ runDir: lab.deps.config.run_dir })
    await lab.run('standby.prepare_image', PREPARE)
    await using second = await restarted()
    expect(await second.run('standby.get_partition_uuids')).toEqual({ 'root uuid': '0x1234abcd' })
    await second.deps.deploy.images.release('erased')
    expect(await second.run('standby.get_partition_uuids')).toEqual({})
    await using third = await restarted()
    expect(await third.run('standby.get_partition_uuids')).toEqual({})
  })

  test('is forgotten before a write begins, so that an agent that dies in it does not answer for the disk', async () => {
    await using lab = await createExtensionLab()
    await lab.run('standby.prepare_image', PREPARE)
    let seen: unknown = 'not asked'
    const writeImage: ImageWriterDeps['writeImage'] = async (request) => {
      await using meanwhile = await createExtensionLab({ runDir: lab.deps.config.run_dir })
      seen = await meanwhile.run('standby.get_partition_uuids')
      return writtenImage(request, [])
    }
    await using second = await createExtensionLab({ writeImage, runDir: lab.deps.config.run_dir })
    await second.run('standby.prepare_image', PREPARE)
    expect(seen).toEqual({})
  })

  test.each(['', '[]', '{"device":1}', 'no JSON'])('takes the note %j for none', async (text) => {
    await using lab = await createExtensionLab()
    await mkdir(lab.deps.config.run_dir, { recursive: true })
    await writeFile(join(lab.deps.config.run_dir, 'written-image.json'), text)
    await using restarted = await createExtensionLab({ runDir: lab.deps.config.run_dir })
    expect(await restarted.run('standby.get_partition_uuids')).toEqual({})
  })

  test('is empty again after a write that failed: the disk holds nothing', async () => {
    let fails = false
    const writeImage: ImageWriterDeps['writeImage'] = async (request) => {
      if (fails) throw new AgentError('ImageChecksumError', 'wrong')
      return writtenImage(request, [])
    }
    await using lab = await createExtensionLab({ writeImage })
    await lab.run('standby.prepare_image', PREPARE)
    fails = true
    await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toThrow(/wrong/)
    expect(await lab.run('standby.get_partition_uuids')).toEqual({})
  })
})

describe('a partition image', () => {
  const ROOT = 'e2d6ea51-0000-4000-8000-000000000001'
  const row = (kind: PartitionKind, number: number, uuid: string | null) => ({
    kind,
    number,
    path: `/dev/sda${number}`,
    range: { offset: number, length: 1 },
    uuid,
    partUuid: `part-${number}`,
  })
  const UEFI: WrittenPartitions = {
    label: 'gpt',
    bootMode: 'uefi',
    list: [
      row('esp', 1, 'ABCD-1234'),
      row('ephemeral', 2, 'e'),
      row('swap', 3, 's'),
      row('configdrive', 4, null),
      row('root', 5, ROOT),
    ],
  }
  const writes =
    (partitions: WrittenPartitions): ImageWriterDeps['writeImage'] =>
    async (request) => ({
      ...writtenImage(request, []),
      rootUuid: uuidOf(partitions, 'root'),
      partitions,
    })

  test('has its partitions told by nodes and UUIDs, also by an agent that was started again', async () => {
    await using lab = await createExtensionLab({ writeImage: writes(UEFI) })
    expect(await lab.run('standby.prepare_image', PREPARE)).toBe(
      `image (img.raw) written to device ${lab.diskPath} root_uuid=${ROOT} efi_system_partition_uuid=ABCD-1234`,
    )
    await using restarted = await createExtensionLab({ runDir: lab.deps.config.run_dir })
    for (const each of [lab, restarted]) {
      expect(await each.run('standby.get_partition_uuids')).toEqual({
        partitions: {
          'efi system partition': '/dev/sda1',
          ephemeral: '/dev/sda2',
          swap: '/dev/sda3',
          configdrive: '/dev/sda4',
          root: '/dev/sda5',
        },
        'root uuid': ROOT,
        'efi system partition uuid': 'ABCD-1234',
      })
      expect(each.deps.deploy.images.lastWritten()?.partitions).toEqual(UEFI)
    }
  })

  test('without an ESP has null for it; a PReP partition is told by its PARTUUID', async () => {
    const list = [row('prep', 1, null), row('root', 2, null)]
    const written: WrittenPartitions = { label: 'gpt', bootMode: 'bios', list }
    await using lab = await createExtensionLab({ writeImage: writes(written) })
    expect(await lab.run('standby.prepare_image', PREPARE)).toMatch(/ root_uuid=part-2$/)
    expect(await lab.run('standby.get_partition_uuids')).toEqual({
      partitions: { 'PReP Boot partition': '/dev/sda1', root: '/dev/sda2' },
      'root uuid': 'part-2',
      'efi system partition uuid': null,
      'PReP Boot partition uuid': 'part-1',
    })
  })
})

describe('standby.sync', () => {
  test('flushes every disk and answers null', async () => {
    await using lab = await createExtensionLab()
    expect(await lab.run('standby.sync')).toBeNull()
    expect(lab.machine.ran).toEqual(['sync'])
  })

  test('leaves the seeding alone: the machine goes on', async () => {
    await using lab = await createExtensionLab()
    await lab.run('standby.prepare_image', PREPARE)
    await lab.run('standby.sync')
    expect(lab.deps.deploy.seeding.isSeeding()).toBe(true)
  })
})
