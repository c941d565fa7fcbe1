import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { blockDeviceDirectory } from '../../../agent/system/sysfs.ts'
import type { ExtensionLab, ExtensionLabOptions } from './extension-lab.ts'
import { createExtensionLab, writtenImage } from './extension-lab.ts'

const UEFI = { '/sys/firmware/efi/fw_platform_size': '64' }
const EFIBOOTMGR = { 'efibootmgr --version': 'version 17' }
const FS_UUID = 'e2d6ea51-0000-4000-8000-000000000001'

const params = (changes: object = {}) => ({
  root_uuid: '0x00000000',
  efi_system_part_uuid: null,
  prep_boot_part_uuid: null,
  target_boot_mode: 'uefi',
  ...changes,
})

const install = async (options: ExtensionLabOptions, changes: object = {}) => {
  await using lab = await createExtensionLab(options)
  const result = await lab.run('image.install_bootloader', params(changes))
  return {
    result,
    bootloaders: lab.bootloaders,
    diskPath: lab.diskPath,
    log: lab.logLines.join(''),
  }
}

describe('image.install_bootloader on a machine booted by UEFI', () => {
  test('makes boot entries for the root disk', async () => {
    const { result, bootloaders, diskPath } = await install({ files: UEFI, answers: EFIBOOTMGR })
    expect(result).toBeNull()
    expect(bootloaders).toMatchObject([{ devicePath: diskPath, efiSystemPartUuid: null }])
  })

  test('fails with the error of the set-up', async () => {
    const installUefiBootloader = async () => {
      throw new AgentError('DeviceNotFound', 'no EFI system partition')
    }
    await expect(
      install({ files: UEFI, answers: EFIBOOTMGR, installUefiBootloader }),
    ).rejects.toMatchObject({ type: 'DeviceNotFound' })
  })

  const failing: ExtensionLabOptions = {
    files: UEFI,
    answers: EFIBOOTMGR,
    installUefiBootloader: async () => {
      throw new AgentError('DeviceNotFound', 'no EFI system partition')
    },
  }

  test('succeeds in spite of that where the parameter says so, and logs it', async () => {
    const { result, log } = await install(failing, { ignore_bootloader_failure: true })
    expect(result).toBeNull()
    expect(log).toContain('boot loader failure ignored')
  })

  test('follows the option where the parameter is null, and the parameter where it is not', async () => {
    const byOption = { ...failing, config: { ignore_bootloader_failure: true } }
    expect((await install(byOption)).result).toBeNull()
    await expect(install(byOption, { ignore_bootloader_failure: false })).rejects.toThrow()
  })

  test('succeeds where the ESP holds no loader and the image is a whole disk', async () => {
    const none = { files: UEFI, answers: EFIBOOTMGR, installUefiBootloader: async () => false }
    expect((await install(none)).result).toBeNull()
    expect((await install(none, { root_uuid: null })).result).toBeNull()
    expect((await install(none, { root_uuid: '' })).result).toBeNull()
  })

  test('refuses to go on to GRUB where the ESP holds no loader and the image is a partition', async () => {
    const none = { files: UEFI, answers: EFIBOOTMGR, installUefiBootloader: async () => false }
    await expect(install(none, { root_uuid: FS_UUID })).rejects.toMatchObject({
      type: 'InvalidImage',
    })
  })

  test('leaves boot entries alone, with a warning, where there is no efibootmgr', async () => {
    const { bootloaders, log } = await install({ files: UEFI })
    expect(bootloaders).toEqual([])
    expect(log).toContain('no efibootmgr')
  })

  test('does not need efibootmgr where machine control is only logged', async () => {
    const lab = await install({ files: UEFI, config: { machine_control: 'log' } })
    expect(lab.bootloaders).toHaveLength(1)
  })
})

const PREPARE = {
  image_info: {
    id: 'i',
    urls: ['http://192.0.2.1/i'],
    os_hash_algo: 'sha256',
    os_hash_value: 'ab'.repeat(32),
  },
}

describe('image.install_bootloader on a machine booted by BIOS', () => {
  test('succeeds without doing anything for a whole-disk image', async () => {
    const { result, bootloaders } = await install({}, { target_boot_mode: 'bios' })
    expect(result).toBeNull()
    expect(bootloaders).toEqual([])
  })

  const onArray = (metadata: string): ExtensionLabOptions => ({
    files: { '/sys/class/block/md127/md/metadata_version': `${metadata}\n` },
    writeImage: async (request) => ({ ...writtenImage(request, []), device: '/dev/md127' }),
  })

  test('fails for a whole-disk image in an array, from which firmware starts nothing', async () => {
    await using lab = await createExtensionLab(onArray('1.2'))
    await lab.run('standby.prepare_image', PREPARE)
    const installed = lab.run('image.install_bootloader', params({ target_boot_mode: 'bios' }))
    await expect(installed).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringMatching(/md127 is a software RAID array.*by BIOS.*image_rootfs_uuid/),
    })
  })

  test('succeeds for an array of the firmware, which is a disk for it', async () => {
    await using lab = await createExtensionLab(onArray('external:/md126/0'))
    await lab.run('standby.prepare_image', PREPARE)
    const installed = lab.run('image.install_bootloader', params({ target_boot_mode: 'bios' }))
    expect(await installed).toBeNull()
  })

  test('warns when Ironic means another boot mode', async () => {
    expect((await install({})).log).toContain('boot modes differ')
  })

  test('refuses to install a boot loader out of an image, naming the CVE', async () => {
    await expect(
      install({}, { root_uuid: FS_UUID, target_boot_mode: 'bios' }),
    ).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringContaining('CVE-2026-43003'),
    })
  })
})

describe('image.install_bootloader, where there is no loader to register, by the root uuid', () => {
  const GUID = '6e1b2a4c-0000-4000-8000-00000000000a'
  const run = promisify(execFile)

  /** A lab whose disk has a table by sfdisk, and an ext4 in its second partition. */
  async function createDisk(label: 'gpt' | 'dos', options: ExtensionLabOptions = {}) {
    const lab = await createExtensionLab(options)
    const sfdisk = run('sfdisk', ['--quiet', lab.diskPath])
    const id = label === 'dos' ? 'label-id: 0x1234abcd\n' : ''
    const uuid = label === 'gpt' ? `,uuid=${GUID}` : ''
    sfdisk.child.stdin?.end(
      `label: ${label}\n${id}start=2048,size=8192${uuid}\nstart=10240,size=16384\n`,
    )
    await sfdisk
    const ext4 = [
      '-q',
      '-U',
      FS_UUID,
      '-L',
      'Root',
      '-E',
      `offset=${10240 * 512}`,
      lab.diskPath,
      '8M',
    ]
    await run('mkfs.ext4', ext4)
    return lab
  }
  /** From here on sysfs says that the disk is an array of md. */
  async function makeArray(lab: ExtensionLab): Promise<void> {
    const directory = blockDeviceDirectory(lab.diskPath.slice('/dev/'.length))
    const file = lab.machine.root.path(`${directory}/md/metadata_version`)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, '1.2\n')
  }
  const installed = (lab: ExtensionLab, root_uuid: string | null) =>
    lab.run('image.install_bootloader', params({ root_uuid, target_boot_mode: 'bios' }))

  test.each<['gpt' | 'dos', string]>([
    ['dos', '0x1234abcd'],
    ['dos', '0x1234ABCD'],
    ['dos', '1234abcd-01'],
    ['dos', FS_UUID],
    ['gpt', FS_UUID.toUpperCase()],
    ['gpt', GUID],
    ['gpt', GUID.toUpperCase()],
    ['gpt', '0x00000000'],
    ['gpt', 'Root'],
    ['gpt', 'LABEL=Root'],
    ['gpt', `UUID=${FS_UUID}`],
    ['dos', 'PARTUUID=1234abcd-02'],
  ])('on a %s disk that was written, %s is of it', async (label, uuid) => {
    await using lab = await createDisk(label)
    await lab.run('standby.prepare_image', PREPARE)
    expect(await installed(lab, uuid)).toBeNull()
  })

  test.each<['gpt' | 'dos', string]>([
    ['dos', '0x12345678'],
    ['dos', '1234abcd-03'],
    ['gpt', '6e1b2a4c-0000-4000-8000-00000000000b'],
    ['gpt', '0x1234abcd'],
    ['gpt', 'root'],
    ['gpt', 'UUID=Root'],
    ['gpt', `LABEL=${FS_UUID}`],
    ['gpt', 'LABEL='],
  ])('on a %s disk that was written, %s is of nothing there', async (label, uuid) => {
    await using lab = await createDisk(label)
    await lab.run('standby.prepare_image', PREPARE)
    await expect(installed(lab, uuid)).rejects.toMatchObject({
      type: 'DeviceNotFound',
      details: expect.stringContaining(uuid),
    })
  })

  test('a partition of a disk that somebody else wrote would need GRUB', async () => {
    await using lab = await createDisk('gpt')
    await expect(installed(lab, FS_UUID)).rejects.toMatchObject({ type: 'InvalidImage' })
  })

  test('the identifier of the disk itself needs nothing, whoever wrote it', async () => {
    await using lab = await createDisk('dos')
    expect(await installed(lab, '0x1234abcd')).toBeNull()
  })

  test.each(['bios', 'uefi'])(
    'with leave of Ironic, in %s mode too, it gets GRUB',
    async (mode) => {
      await using lab = await createDisk('gpt', {
        config: { enable_bios_bootloader_install: true },
        ...(mode === 'uefi' ? { files: UEFI, answers: EFIBOOTMGR } : {}),
        installUefiBootloader: async () => false,
      })
      await lab.run('image.install_bootloader', {
        root_uuid: FS_UUID,
        efi_system_part_uuid: 'ABCD-1234',
        prep_boot_part_uuid: null,
        target_boot_mode: mode,
        ignore_bootloader_failure: true,
      })
      expect(lab.grubs).toMatchObject([
        {
          devicePath: lab.diskPath,
          rootUuid: FS_UUID,
          efiSystemPartUuid: 'ABCD-1234',
          prepBootPartUuid: null,
          canRegister: mode === 'uefi',
          keepsPartial: true,
        },
      ])
    },
  )

  test('loaders on the ESP are enough, and no program of the image runs', async () => {
    await using lab = await createDisk('gpt', {
      config: { enable_bios_bootloader_install: true },
      files: UEFI,
      answers: EFIBOOTMGR,
    })
    await lab.run('image.install_bootloader', params({ root_uuid: FS_UUID }))
    expect(lab.bootloaders).toHaveLength(1)
    expect(lab.grubs).toEqual([])
  })

  test('a whole-disk image in an array gets GRUB from the root that is named, if that is allowed', async () => {
    const deployed = async (enable_bios_bootloader_install: boolean) => {
      await using lab = await createDisk('gpt', {
        config: { enable_bios_bootloader_install },
      })
      await makeArray(lab)
      await lab.run('standby.prepare_image', PREPARE)
      await installed(lab, FS_UUID)
      return lab.grubs
    }
    expect(await deployed(true)).toMatchObject([{ rootUuid: FS_UUID, canRegister: false }])
    await expect(deployed(false)).rejects.toMatchObject({ type: 'InvalidImage' })
  })

  test('a whole-disk image that was written gets none, whatever is allowed', async () => {
    await using lab = await createDisk('gpt', { config: { enable_bios_bootloader_install: true } })
    await lab.run('standby.prepare_image', PREPARE)
    expect(await installed(lab, FS_UUID)).toBeNull()
    expect(lab.grubs).toEqual([])
  })

  test('what is of nothing on a disk that was written is refused before boot entries are made', async () => {
    await using lab = await createDisk('gpt', { files: UEFI, answers: EFIBOOTMGR })
    await lab.run('standby.prepare_image', PREPARE)
    await expect(
      lab.run('image.install_bootloader', params({ root_uuid: '0x1234abcd' })),
    ).rejects.toMatchObject({ type: 'DeviceNotFound' })
    expect(lab.bootloaders).toEqual([])
  })

  test('a restarted agent still knows what was written', async () => {
    await using lab = await createDisk('gpt')
    await using after = await createExtensionLab({
      runDir: lab.deps.config.run_dir,
      config: { block_devices: [lab.diskPath] },
    })
    await expect(installed(after, FS_UUID)).rejects.toMatchObject({ type: 'InvalidImage' })
    await lab.run('standby.prepare_image', PREPARE)
    await using restarted = await createExtensionLab({
      runDir: lab.deps.config.run_dir,
      config: { block_devices: [lab.diskPath] },
    })
    expect(await installed(restarted, FS_UUID)).toBeNull()
  })

  test('the disk that was written is not chosen anew: the image may have made it no root disk', async () => {
    await using lab = await createDisk('gpt')
    await lab.run('standby.prepare_image', PREPARE)
    await using later = await createExtensionLab({
      runDir: lab.deps.config.run_dir,
      config: { block_devices: ['/nowhere'] },
    })
    expect(await installed(later, FS_UUID)).toBeNull()
  })
})

describe('image.install_bootloader', () => {
  test.each([
    ['an unknown parameter', { colour: 'red' }],
    ['a root_uuid that is a number', { root_uuid: 5 }],
    ['a word where a boolean is due', { ignore_bootloader_failure: 'yes' }],
  ])('refuses %s with 400', async (_, changes) => {
    await expect(install({}, changes)).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      status: 400,
    })
  })
})
