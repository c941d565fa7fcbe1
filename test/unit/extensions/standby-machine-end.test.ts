// How a command of Ironic ends the machine: in order, by power off, by a reboot, or by the kernel of the instance.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import type { ImageWriterDeps } from '../../../agent/deploy/image-writer.ts'
import { RELEASE_DEADLINE_MS } from '../../../agent/deploy/seeding-keeper.ts'
import { createExtensionLab, type ExtensionLab, writtenImage } from './extension-lab.ts'

afterEach(() => {
  vi.useRealTimers()
})

const PREPARE = {
  image_info: {
    id: 'img.raw',
    urls: ['http://192.0.2.1/img.raw'],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: 'ab'.repeat(32),
  },
  configdrive: null,
}

describe.each([
  ['standby.power_off', 'power off'],
  ['standby.run_image', 'reboot'],
])('%s', (name, end) => {
  test('ends the seeding, flushes the disks and then ends the machine', async () => {
    await using lab = await createExtensionLab()
    await lab.run('standby.prepare_image', PREPARE)
    expect(await lab.run(name)).toBeNull()
    expect(lab.events).toEqual(['deploy', 'seeding ended', end])
    expect(lab.machine.ran).toContain('sync')
  })

  test('ends the machine though a peer does not let go and the flush fails', async () => {
    const writeImage: ImageWriterDeps['writeImage'] = async (request) => ({
      ...writtenImage(request, []),
      seeding: { [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) },
    })
    await using lab = await createExtensionLab({
      writeImage,
      managers: [
        {
          name: 'stuck',
          version: '1',
          label: 'Stuck',
          evaluateHardwareSupport: async () => 2,
          steps: [],
          fullSync: async () => {
            throw new AgentError('BlockDeviceError', 'the disk hangs')
          },
        },
      ],
    })
    await lab.run('standby.prepare_image', PREPARE)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const ended = lab.run(name)
    await vi.advanceTimersByTimeAsync(RELEASE_DEADLINE_MS)
    await ended
    expect(lab.events.at(-1)).toBe(end)
    expect(lab.logLines.join('')).toContain('seeding left behind')
    expect(lab.logLines.join('')).toContain('disks not flushed')
  })

  test('takes no parameters', async () => {
    await using lab = await createExtensionLab()
    await expect(lab.run(name, { when: 'now' })).rejects.toMatchObject({ status: 400 })
    expect(lab.events).toEqual([])
  })

  test('fails when the machine cannot be ended', async () => {
    const refuse = async () => {
      throw new AgentError('SystemRebootError', 'nobody listens')
    }
    await using lab = await createExtensionLab({
      power: { powerOff: refuse, reboot: refuse, startLoadedKernel: refuse },
    })
    await expect(lab.run(name)).rejects.toMatchObject({ type: 'SystemRebootError' })
  })
})

describe('standby.run_image with the option kexec', () => {
  const go = (lab: () => ExtensionLab) => async () => void lab().events.push('kexec')
  const cancel = async () => undefined

  test('starts the instance after the orderly end, and says how', async () => {
    const sentence = 'the instance is started by kexec: /vmlinuz'
    await using lab: ExtensionLab = await createExtensionLab({
      config: { kexec: true },
      prepareInstanceStart: async () => {
        lab.events.push('prepared')
        return { sentence, go: go(() => lab), cancel }
      },
    })
    await lab.run('standby.prepare_image', PREPARE)
    await lab.run('standby.sync')
    expect(await lab.run('standby.run_image')).toBe(sentence)
    expect(lab.events).toEqual(['deploy', 'seeding ended', 'prepared', 'kexec'])
    expect(lab.machine.ran).toContain('sync')
  })

  test.each([
    ['nothing was flushed since the write', ['standby.prepare_image']],
    ['the flush was before the write', ['standby.sync', 'standby.prepare_image']],
    [
      'the flush was of an image before',
      ['standby.prepare_image', 'standby.sync', 'standby.prepare_image'],
    ],
  ])('reboots a deploy that has not ended: %s', async (_, commands) => {
    await using lab: ExtensionLab = await createExtensionLab({
      config: { kexec: true },
      prepareInstanceStart: async () => ({ sentence: 'no', go: go(() => lab), cancel }),
    })
    for (const name of commands) await lab.run(name, name === 'standby.sync' ? {} : PREPARE)
    expect(await lab.run('standby.run_image')).toMatch(/firmware: the deploy has not ended/)
    expect(lab.events.at(-1)).toBe('reboot')
    expect(lab.events).not.toContain('kexec')
  })

  test('reboots where no image was written since this boot', async () => {
    await using lab = await createExtensionLab({ config: { kexec: true } })
    expect(await lab.run('standby.run_image')).toBeNull()
    expect(lab.events).toEqual(['reboot'])
  })

  test('is not asked for without the option', async () => {
    await using lab: ExtensionLab = await createExtensionLab({
      prepareInstanceStart: async () => ({ sentence: 'no', go: go(() => lab), cancel }),
    })
    await lab.run('standby.prepare_image', PREPARE)
    await lab.run('standby.sync')
    expect(await lab.run('standby.run_image')).toBeNull()
    expect(lab.events.at(-1)).toBe('reboot')
  })
})
