import { describe, expect, test } from 'vitest'
import { createExtensionLab } from './extension-lab.ts'

describe('poll.get_hardware_info', () => {
  test('is the inventory, with the disks of this machine', async () => {
    await using lab = await createExtensionLab()
    expect(await lab.run('poll.get_hardware_info')).toMatchObject({
      disks: [{ name: lab.diskPath, size: 64 * 1024 * 1024 }],
      boot: { current_boot_mode: 'bios' },
    })
  })
})

describe('poll.set_node_info', () => {
  test('is refused with 400: there is no standalone mode', async () => {
    await using lab = await createExtensionLab()
    const params = { node_info: { uuid: 'n' } }
    await expect(lab.run('poll.set_node_info', params)).rejects.toMatchObject({
      status: 400,
      details: 'node info can only be set in standalone mode',
    })
    expect(lab.deps.nodeCache.current()).toBeUndefined()
  })
})

describe('flow.start_flow', () => {
  const node = { uuid: 'n' }

  test('runs its commands in order and answers null', async () => {
    await using lab = await createExtensionLab()
    const flow = [
      { 'deploy.get_deploy_steps': { node, ports: [] }, 'standby.sync': {} },
      { 'standby.power_off': {} },
    ]
    expect(await lab.run('flow.start_flow', { flow })).toBeNull()
    expect(lab.deps.nodeCache.current()).toBe(node)
    expect(lab.events).toEqual(['power off'])
  })

  test('stops at the first command that fails, with its error', async () => {
    await using lab = await createExtensionLab()
    const step = { step: 'nothing', interface: 'deploy' }
    const flow = [
      { 'deploy.execute_deploy_step': { step, node, ports: [] } },
      { 'standby.power_off': {} },
    ]
    await expect(lab.run('flow.start_flow', { flow })).rejects.toMatchObject({
      type: 'HardwareManagerMethodNotFound',
    })
    expect(lab.events).toEqual([])
  })

  test.each([
    ['no list', 'standby.sync'],
    ['an unknown command', [{ 'standby.dance': {} }]],
    ['an unknown extension', [{ 'ballet.dance': {} }]],
    ['a flow inside of a flow', [{ 'flow.start_flow': { flow: [] } }]],
    ['a name every object has', [{ 'standby.constructor': {} }]],
    ['parameters that are no object', [{ 'standby.sync': [] }]],
    ['parameters the command refuses', [{ 'standby.sync': {} }, { 'standby.power_off': { x: 1 } }]],
  ])('refuses %s with 400 before it runs anything', async (_, flow) => {
    await using lab = await createExtensionLab()
    await expect(lab.run('flow.start_flow', { flow })).rejects.toMatchObject({ status: 400 })
    expect(lab.machine.ran).toEqual([])
  })
})
