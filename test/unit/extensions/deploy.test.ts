import { describe, expect, test } from 'vitest'
import type { HardwareManager } from '../../../agent/hardware/manager.ts'
import { recordedStream } from '../../support/event-lab.ts'
import { createExtensionLab, PROGRESS } from './extension-lab.ts'

const SHA256 = 'ab'.repeat(32)
const NODE = { uuid: '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6', instance_info: {}, properties: {} }

function imageInfo(changes = {}) {
  return {
    id: 'img.raw',
    urls: ['http://192.0.2.1/img.raw'],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: SHA256,
    node_uuid: NODE.uuid,
    ...changes,
  }
}

function writeImage(args: object = {}, more: object = {}) {
  return {
    step: { interface: 'deploy', step: 'write_image', args: { image_info: imageInfo(), ...args } },
    node: NODE,
    ports: [],
    deploy_version: { generic_hardware_manager: '1.5' },
    ...more,
  }
}

/** A manager with one step, `polish`, that does what the test says. */
function polisher(run: HardwareManager['steps'][number]['run']): HardwareManager {
  return {
    name: 'polisher',
    version: '7',
    label: 'Polisher',
    evaluateHardwareSupport: async () => 2,
    steps: [
      {
        kinds: ['deploy'],
        announce: { step: 'polish', priority: 90, interface: 'deploy', reboot_requested: false },
        accepts: ['grit', 'passes'],
        run,
      },
    ],
  }
}

const polish = (step: object = {}, more: object = {}) => ({
  step: { interface: 'deploy', step: 'polish', ...step },
  node: NODE,
  ports: [{ address: '52:54:00:00:00:01' }],
  ...more,
})

describe('deploy.get_deploy_steps', () => {
  test('lists the steps with interface, step and priority, and the version map', async () => {
    await using lab = await createExtensionLab()
    expect(await lab.run('deploy.get_deploy_steps', { node: NODE, ports: [] })).toEqual({
      deploy_steps: {
        GenericHardwareManager: [
          { step: 'write_image', priority: 0, interface: 'deploy', reboot_requested: false },
          {
            step: 'execute_bootc_install',
            priority: 0,
            interface: 'deploy',
            reboot_requested: false,
          },
          {
            step: 'inject_files',
            priority: 0,
            interface: 'deploy',
            reboot_requested: false,
            argsinfo: {
              files: { description: expect.any(String), required: false },
              verify_ca: { description: expect.any(String), required: false },
            },
          },
          {
            step: 'erase_devices_metadata',
            priority: 0,
            interface: 'deploy',
            reboot_requested: false,
          },
          {
            step: 'clean_uefi_nvram',
            priority: 0,
            interface: 'deploy',
            reboot_requested: false,
            argsinfo: { match_patterns: { description: expect.any(String), required: false } },
          },
          {
            step: 'apply_configuration',
            priority: 0,
            interface: 'raid',
            reboot_requested: false,
            argsinfo: {
              raid_config: { description: expect.any(String), required: true },
              delete_existing: { description: expect.any(String), required: false },
            },
          },
        ],
      },
      hardware_manager_version: { generic_hardware_manager: '1.5' },
    })
  })

  test('keeps the node for later commands', async () => {
    await using lab = await createExtensionLab()
    await lab.run('deploy.get_deploy_steps', { node: NODE, ports: [] })
    expect(lab.deps.nodeCache.current()).toBe(NODE)
  })

  test.each([
    ['no node', { ports: [] }],
    ['ports that are no list', { node: NODE, ports: {} }],
    ['an unknown parameter', { node: NODE, ports: [], colour: 'red' }],
  ])('refuses %s with 400', async (_, params) => {
    await using lab = await createExtensionLab()
    await expect(lab.run('deploy.get_deploy_steps', params)).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      status: 400,
    })
  })
})

describe('deploy.execute_deploy_step', () => {
  test('writes the image to the root disk and echoes the step exactly as received', async () => {
    await using lab = await createExtensionLab()
    const params = writeImage({ configdrive: 'H4sI' })
    const received = structuredClone(params.step)
    expect(await lab.run('deploy.execute_deploy_step', params)).toEqual({
      deploy_result: {
        result: `prepare_image: image (img.raw) written to device ${lab.diskPath} root_uuid=0x1234abcd`,
      },
      deploy_step: received,
    })
    expect(lab.deploys).toMatchObject([
      { devicePath: lab.diskPath, configdrive: 'H4sI', imageInfo: { id: 'img.raw' } },
    ])
  })

  test('takes the config drive of image_info only where the argument is null', async () => {
    await using lab = await createExtensionLab()
    const inner = imageInfo({ configdrive: 'inner' })
    for (const configdrive of [null, 'outer', undefined]) {
      await lab.run('deploy.execute_deploy_step', writeImage({ image_info: inner, configdrive }))
    }
    expect(lab.deploys.map(({ configdrive }) => configdrive)).toEqual(['inner', 'outer', 'inner'])
  })

  test('passes the torrent file named in the node on to the write', async () => {
    await using lab = await createExtensionLab()
    const torrentUrl = 'http://192.0.2.1/img.torrent'
    const node = { ...NODE, instance_info: { image_torrent_file: torrentUrl } }
    await lab.run('deploy.execute_deploy_step', writeImage({}, { node }))
    expect(JSON.stringify(lab.deploys[0]?.imageInfo.torrent)).toContain(torrentUrl)
  })

  test.each([
    ['off', 1],
    ['auto', 0],
  ] as const)(
    'a torrent nobody can read counts with swarm_mode %s: %d writes',
    async (mode, writes) => {
      await using lab = await createExtensionLab({ config: { swarm_mode: mode } })
      const torrent = imageInfo({ torrent: { metainfo: 5 } })
      await lab
        .run('deploy.execute_deploy_step', writeImage({ image_info: torrent }))
        .catch(() => undefined)
      expect(lab.deploys).toHaveLength(writes)
    },
  )

  test('shows the progress of the write', async () => {
    await using lab = await createExtensionLab()
    const events = recordedStream()
    await lab.run('deploy.execute_deploy_step', writeImage(), { events })
    expect(events.progress()).toEqual([PROGRESS])
  })

  test('fails with the error type of image_info when that is wrong, and writes nothing', async () => {
    await using lab = await createExtensionLab()
    const wrong = imageInfo({ os_hash_algo: null, os_hash_value: null })
    await expect(
      lab.run('deploy.execute_deploy_step', writeImage({ image_info: wrong })),
    ).rejects.toMatchObject({ type: 'InvalidCommandParamsError' })
    expect(lab.deploys).toEqual([])
  })

  test('fails with DeviceNotFound when no disk matches the hints of the node', async () => {
    await using lab = await createExtensionLab()
    const node = { ...NODE, properties: { root_device: { name: '/dev/sdq' } } }
    await expect(
      lab.run('deploy.execute_deploy_step', writeImage({}, { node })),
    ).rejects.toMatchObject({ type: 'DeviceNotFound', details: expect.stringContaining('sdq') })
  })

  test('is a VersionMismatch when the steps come from other managers', async () => {
    await using lab = await createExtensionLab()
    await expect(
      lab.run('deploy.execute_deploy_step', writeImage({}, { deploy_version: { other: '1' } })),
    ).rejects.toMatchObject({ type: 'VersionMismatch', status: 409 })
    expect(lab.deploys).toEqual([])
  })

  test('runs without deploy_version', async () => {
    await using lab = await createExtensionLab()
    await lab.run('deploy.execute_deploy_step', writeImage({}, { deploy_version: null }))
    expect(lab.deploys).toHaveLength(1)
  })

  test('merges extra parameters of the command with the arguments of the step, which win', async () => {
    const calls: unknown[] = []
    const manager = polisher(async ({ args, node, ports }) => calls.push({ args, node, ports }))
    await using lab = await createExtensionLab({ managers: [manager] })
    await lab.run(
      'deploy.execute_deploy_step',
      polish({ args: { grit: 80 } }, { grit: 40, passes: 2 }),
    )
    expect(calls).toEqual([
      { args: { grit: 80, passes: 2 }, node: NODE, ports: [{ address: '52:54:00:00:00:01' }] },
    ])
  })

  test('answers null where the step returns nothing', async () => {
    await using lab = await createExtensionLab({ managers: [polisher(async () => undefined)] })
    const step = polish().step
    expect(await lab.run('deploy.execute_deploy_step', polish())).toEqual({
      deploy_result: null,
      deploy_step: step,
    })
  })

  test('refuses an argument the step does not take', async () => {
    await using lab = await createExtensionLab({ managers: [polisher(async () => null)] })
    await expect(
      lab.run('deploy.execute_deploy_step', polish({ args: { colour: 'red' } })),
    ).rejects.toThrow(/polish does not take colour; it takes grit, passes/)
  })

  test('wraps a foreign exception into a DeploymentError that names the step and the exception', async () => {
    const manager = polisher(async () => {
      throw new RangeError('too smooth')
    })
    await using lab = await createExtensionLab({ managers: [manager] })
    await expect(lab.run('deploy.execute_deploy_step', polish())).rejects.toMatchObject({
      type: 'DeploymentError',
      details: 'Unexpected exception performing deploy step polish. RangeError: too smooth',
    })
  })

  test('names the step that no hardware manager offers', async () => {
    await using lab = await createExtensionLab()
    await expect(lab.run('deploy.execute_deploy_step', polish())).rejects.toMatchObject({
      type: 'HardwareManagerMethodNotFound',
      details: expect.stringContaining('polish'),
    })
  })

  test.each([
    ['no step', { node: NODE, ports: [] }],
    ['a step without a name', { node: NODE, ports: [], step: { interface: 'deploy' } }],
    ['no node', { step: { step: 'x' }, ports: [] }],
    ['arguments that are no object', { node: NODE, ports: [], step: { step: 'x', args: 'y' } }],
  ])('refuses %s with 400', async (_, params) => {
    await using lab = await createExtensionLab()
    await expect(lab.run('deploy.execute_deploy_step', params)).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
    })
  })
})
