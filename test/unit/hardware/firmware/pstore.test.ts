import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createPstoreStep } from '../../../../agent/hardware/firmware/pstore.ts'
import { createRoot } from '../../../../agent/system/root.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { machineWith } from '../machine-fixture.ts'
import { callWith } from '../manager-fixture.ts'

const log = createLogger({ level: 'silent' })
const FOLDER = '/sys/fs/pstore'
const MOUNTS = `22 1 0:21 / /sys rw - sysfs sysfs rw\n30 22 0:26 / ${FOLDER} rw - pstore pstore rw\n`

const machine = (records: Record<string, string>, mounts = MOUNTS) =>
  machineWith({
    '/proc/self/mountinfo': mounts,
    [`${FOLDER}/.keep/deep`]: 'a folder of a record',
    ...records,
  })

describe('erase_pstore', () => {
  test('deletes every record, folders with what they hold, and says how many', async () => {
    await using x = await machine({
      [`${FOLDER}/dmesg-erst-7123`]: 'Panic#1',
      [`${FOLDER}/dmesg-efi-16`]: 'Oops#1',
    })
    const step = createPstoreStep({ root: x.root, log })
    expect(await step.run(callWith())).toBe(`3 records erased from ${FOLDER}`)
    expect(await readdir(x.root.path(FOLDER))).toEqual([])
  })

  test('finds the mount wherever it is', async () => {
    const mounts = '30 22 0:26 / /mnt/crash\\040es rw - pstore pstore rw\n'
    await using x = await machine({ '/mnt/crash es/console-ramoops': 'x' }, mounts)
    const step = createPstoreStep({ root: x.root, log })
    expect(await step.run(callWith())).toBe('1 records erased from /mnt/crash es')
    expect(await readdir(x.root.path(FOLDER))).toEqual(['.keep'])
  })

  test('leaves a folder alone that is no pstore, and says that there is none', async () => {
    await using x = await machine({}, '22 1 0:21 / /sys rw - sysfs sysfs rw\n')
    const step = createPstoreStep({ root: x.root, log })
    expect(await step.run(callWith())).toBe('no pstore is mounted')
    expect(await readdir(x.root.path(FOLDER))).toEqual(['.keep'])
  })

  test('fails with the names of records that the firmware keeps', async () => {
    const mounts = `30 22 0:26 / /proc/self rw - pstore pstore rw\n`
    await using x = await machine({ '/proc/self/mountinfo': mounts })
    // the kernel's own /proc is a folder whose files nobody can delete
    const root = { ...x.root, path: createRoot('/').path, list: async () => ['mountinfo'] }
    const step = createPstoreStep({ root, log })
    await expect(step.run(callWith())).rejects.toMatchObject({
      type: 'CleaningError',
      details: expect.stringMatching(
        /^erase_pstore: 1 of 1 records in \/proc\/self .*mountinfo \(E/,
      ),
    })
  })

  test('takes no arguments and is off unless asked for, as in Ironic Python Agent', () => {
    const { announce, accepts, kinds } = createPstoreStep({ root: createRoot('/'), log })
    expect({ announce, accepts, kinds }).toEqual({
      kinds: ['clean'],
      accepts: [],
      announce: {
        step: 'erase_pstore',
        priority: 0,
        interface: 'deploy',
        reboot_requested: false,
        abortable: true,
      },
    })
  })
})
