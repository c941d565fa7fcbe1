// A partition that comes to a mirror later, by what sysfs says of it: md itself does it in test/e2e/vm/raid-boot.test.ts.
import { writeFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Progress } from '../../../../agent/core/events.ts'
import { addLateMembers } from '../../../../agent/disk/md/late-member.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import type { Root } from '../../../../agent/system/root.ts'
import { progressTo } from '../../../support/event-lab.ts'
import { type Machine, machineWith } from '../../hardware/machine-fixture.ts'

const MD = '/sys/class/block/md1/md'
const MEMBERS = ['/dev/sda3', '/dev/sdb3']
const GROW = 'mdadm --grow /dev/md1 --raid-devices=2'
const ADD = 'mdadm --manage /dev/md1 --add /dev/sdb3'
const signal = new AbortController().signal
const events = { publish: () => undefined }

/** A mirror with so many places; the states of its members. */
const mirrorOf = (places: string, states: Readonly<Record<string, string>>) => ({
  [`${MD}/raid_disks`]: `${places}\n`,
  [`${MD}/sync_force_parallel`]: '0\n',
  [`${MD}/sync_completed`]: '3072 / 1125376\n',
  ...Object.fromEntries(
    Object.entries(states).map(([name, state]) => [`${MD}/dev-${name}/state`, `${state}\n`]),
  ),
})

async function setState(root: Root, name: string, state: string): Promise<void> {
  await mkdir(root.path(`${MD}/dev-${name}`), { recursive: true })
  await writeFile(root.path(`${MD}/dev-${name}/state`), `${state}\n`)
}

/** mdadm of the machine does nothing but what `after` does once a command has run. */
function withEffect(
  { exec, root }: Machine,
  after: Readonly<Record<string, (root: Root) => Promise<void>>>,
): Exec {
  return async (argv, options) => {
    const result = await exec(argv, options)
    await after[argv.join(' ')]?.(root)
    return result
  }
}

describe('a partition that comes to a mirror later', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] }))
  afterEach(() => void vi.useRealTimers())

  /** Time passes as fast as somebody waits for it. */
  async function ended(work: Promise<void>): Promise<void> {
    let isOver = false
    const over = work.finally(() => {
      isOver = true
    })
    over.catch(() => undefined)
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve))
      await vi.advanceTimersByTimeAsync(500)
    }
    await over
  }

  test('gets a place in a mirror of one, before it is waited for', async () => {
    await using machine = await machineWith(mirrorOf('1', { sda3: 'in_sync' }), { mdadm: '' })
    const { root, ran } = machine
    const exec = withEffect(machine, {
      [ADD]: () => setState(root, 'sdb3', 'spare'),
      [GROW]: () => setState(root, 'sdb3', 'in_sync'),
    })
    const request = { members: MEMBERS, late: ['/dev/sdb3'] }
    await ended(addLateMembers({ exec, root, signal, events }, '/dev/md1', request))
    expect(ran).toEqual([ADD, GROW])
    expect(await root.readText(`${MD}/sync_force_parallel`)).toBe('1')
  })

  test('gets a place where it is a spare since a call that was broken off', async () => {
    const states = { sda3: 'in_sync', sdb3: 'spare' }
    await using machine = await machineWith(mirrorOf('1', states), { mdadm: '' })
    const { root, ran } = machine
    const exec = withEffect(machine, {
      [GROW]: () => setState(root, 'sdb3', 'in_sync,write_error'),
    })
    await ended(
      addLateMembers({ exec, root, signal, events }, '/dev/md1', { members: MEMBERS, late: [] }),
    )
    expect(ran).toEqual([GROW])
  })

  test('says how far the copy is', async () => {
    // time that runs ahead of the reads would end the wait
    vi.useRealTimers()
    const recovering = { [`${MD}/sync_action`]: 'recover\n', [`${MD}/sync_speed`]: '1024\n' }
    const states = { sda3: 'in_sync', sdb3: 'spare' }
    await using machine = await machineWith(
      { ...mirrorOf('2', states), ...recovering },
      { mdadm: '' },
    )
    const { exec, root } = machine
    const heard: Progress[] = []
    const events = progressTo((progress) => {
      heard.push(progress)
      const say = (file: string, text: string) => writeFileSync(root.path(`${MD}/${file}`), text)
      if (heard.length === 1) say('sync_completed', '562688 / 1125376\n')
      if (progress.percent === 50) say('dev-sdb3/state', 'in_sync\n')
    })
    await addLateMembers({ exec, root, signal, events }, '/dev/md1', { members: MEMBERS, late: [] })
    expect(heard[0]).toMatchObject({
      ...{ step: 'sync', subject: '/dev/md1', unit: 'bytes' },
      ...{ done: 3072 * 512, total: 1125376 * 512 },
    })
    expect(heard.at(-1)).toMatchObject({ percent: 50 })
    expect(events.snapshot().stage).toBeNull()
  })

  test('takes the place of a disk that is gone', async () => {
    await using machine = await machineWith(mirrorOf('2', { sda3: 'in_sync' }), { mdadm: '' })
    const { root, ran } = machine
    const exec = withEffect(machine, { [ADD]: () => setState(root, 'sdb3', 'in_sync') })
    const request = { members: MEMBERS, late: ['/dev/sdb3'] }
    await ended(addLateMembers({ exec, root, signal, events }, '/dev/md1', request))
    expect(ran).toEqual([ADD])
  })

  test('fails where md gives it up meanwhile', async () => {
    const states = { sda3: 'in_sync', sdb3: 'spare' }
    await using machine = await machineWith(mirrorOf('1', states), { mdadm: '' })
    const { root } = machine
    const exec = withEffect(machine, { [GROW]: () => setState(root, 'sdb3', 'faulty') })
    const work = addLateMembers({ exec, root, signal, events }, '/dev/md1', {
      members: MEMBERS,
      late: [],
    })
    await expect(ended(work)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('md has given up /dev/sdb3 of the mirror /dev/md1'),
    })
  })

  test('fails where md has thrown it out', async () => {
    await using machine = await machineWith(mirrorOf('2', { sda3: 'in_sync' }), { mdadm: '' })
    const work = addLateMembers({ ...machine, signal, events }, '/dev/md1', {
      members: MEMBERS,
      late: [],
    })
    await expect(ended(work)).rejects.toThrow(/md has given up \/dev\/sdb3/)
  })

  test('is waited for 300 s, and the error says how far it is', async () => {
    const states = { sda3: 'in_sync', sdb3: 'spare' }
    const files = { ...mirrorOf('2', states), [`${MD}/sync_action`]: 'recover\n' }
    await using machine = await machineWith(files, { mdadm: '' })
    const work = addLateMembers({ ...machine, signal, events }, '/dev/md1', {
      members: MEMBERS,
      late: [],
    })
    await expect(ended(work)).rejects.toThrow(
      '/dev/sdb3 has not got the content of the mirror /dev/md1 in 300 s (done: 1.5 MiB of 549.5 MiB)',
    )
  })

  test('is not added to what is no mirror', async () => {
    const files = mirrorOf('2', { sda3: 'in_sync' })
    await using machine = await machineWith(files, { mdadm: '' })
    const { root, ran } = machine
    await rm(root.path(`${MD}/sync_force_parallel`))
    const request = { members: MEMBERS, late: ['/dev/sdb3'] }
    const work = addLateMembers({ ...machine, signal, events }, '/dev/md1', request)
    await expect(ended(work)).rejects.toThrow(/\/dev\/md1, which is no mirror of md/)
    expect(ran).toEqual([])
  })
})
