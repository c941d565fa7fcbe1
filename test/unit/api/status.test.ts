import { expect, test } from 'vitest'
import { statusFields } from '../../../agent/api/status.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import type { CommandStatus, Progress, TrackerState } from '../../../agent/core/events.ts'
import { snakeCase } from '../../../agent/core/json.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { SYNCING } from '../../integration/page/scenes.ts'
import { progressOf } from '../../support/event-lab.ts'
import { createExtensionLab, PROGRESS, writtenImage } from '../extensions/extension-lab.ts'

/** An agent of which nothing is known but its events. */
function agent() {
  const stream = createEventStream({ now: () => 0 })
  return {
    command: (commandId: string, status: CommandStatus) =>
      stream.publish({ type: 'command', commandId, name: 'write_image', status, error: null }),
    progress: (part: Partial<Progress>) =>
      stream.publish({ type: 'progress', progress: progressOf(part) }),
    status: () =>
      statusFields(stream.snapshot(), {
        nodeUuid: 'n1',
        isSeeding: false,
        isImageOnDisk: true,
        leftOutManagers: [],
      }),
  }
}

test('an idle agent has no command and no progress', () => {
  const fields = statusFields(createEventStream({ now: () => 0 }).snapshot(), {
    nodeUuid: null,
    isSeeding: true,
    isImageOnDisk: true,
    leftOutManagers: [],
  })
  expect(fields).toEqual({
    node_uuid: null,
    command: null,
    progress: null,
    is_seeding: true,
    syncing_arrays: [],
    failing_trackers: [],
    left_out_hardware_managers: [],
  })
})

test('a running command is named, with its figures once it has some', () => {
  const { command, progress, status } = agent()
  command('1', 'RUNNING')
  expect(status()).toEqual({
    node_uuid: 'n1',
    command: 'write_image',
    progress: null,
    is_seeding: false,
    syncing_arrays: [],
    failing_trackers: [],
    left_out_hardware_managers: [],
  })
  progress({ percent: 30 })
  expect(status()).toMatchObject({ command: 'write_image', progress: { percent: 30 } })
})

test('arrays that md brings in sync are told of beside it, with figures as of the progress', () => {
  const stream = createEventStream({ now: () => 0 })
  stream.publish(SYNCING)
  const more = { nodeUuid: null, isSeeding: false, isImageOnDisk: false, leftOutManagers: [] }
  const array = { array: '/dev/md0', action: 'resync', unit: 'bytes', percent: 12.3 }
  expect(statusFields(stream.snapshot(), more)).toMatchObject({
    progress: null,
    syncing_arrays: [{ ...array, rate_per_second: 180 * 1024 * 1024, eta_seconds: 489 }],
  })
  stream.publish({ type: 'arrays', syncing: [] })
  expect(statusFields(stream.snapshot(), more).syncing_arrays).toEqual([])
})

test('an image that is on the disk is still told of while nothing or the next command runs', () => {
  const { command, progress, status } = agent()
  command('1', 'RUNNING')
  progress({ step: 'done', percent: 100 })
  command('1', 'SUCCEEDED')
  expect(status()).toMatchObject({ command: null, progress: { step: 'done' } })
  command('2', 'RUNNING')
  expect(status()).toMatchObject({ command: 'write_image', progress: { step: 'done' } })
})

test('a write that failed half way leaves no figures behind', () => {
  const { command, progress, status } = agent()
  command('1', 'RUNNING')
  progress({ percent: 30 })
  command('1', 'FAILED')
  expect(status()).toMatchObject({ command: null, progress: null })
})

const PREPARE = {
  image_info: {
    id: 'img.raw',
    urls: ['http://192.0.2.1/img.raw'],
    os_hash_algo: 'sha256',
    os_hash_value: 'ab'.repeat(32),
  },
}
const DONE = { ...PROGRESS, step: 'done' } as const

const statusOf = ({ deps, stream }: Awaited<ReturnType<typeof createExtensionLab>>) =>
  statusFields(stream.snapshot(), {
    nodeUuid: 'n',
    isSeeding: deps.deploy.seeding.isSeeding(),
    isImageOnDisk: deps.deploy.images.lastWritten() !== undefined,
    leftOutManagers: deps.hardware.leftOut,
  })

test('a write that has ended well goes on being shown, with the seeding it left', async () => {
  await using lab = await createExtensionLab({
    writeImage: async (request) => {
      request.events.publish({ type: 'progress', progress: DONE })
      return writtenImage(request, [])
    },
  })
  await lab.run('standby.prepare_image', PREPARE)
  expect(statusOf(lab)).toEqual({
    node_uuid: 'n',
    command: null,
    progress: snakeCase(DONE),
    is_seeding: true,
    syncing_arrays: [],
    failing_trackers: [],
    left_out_hardware_managers: [],
  })
})

test('a write that has failed is not shown as one that goes on', async () => {
  await using lab = await createExtensionLab({
    writeImage: async () => {
      throw new AgentError('ImageChecksumError', 'wrong')
    },
  })
  await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toThrow('wrong')
  expect(statusOf(lab)).toMatchObject({ progress: null, is_seeding: false })
})

test('an image whose disk is released for its erasure is not shown any more', async () => {
  await using lab = await createExtensionLab({
    writeImage: async (request) => {
      request.events.publish({ type: 'progress', progress: DONE })
      return writtenImage(request, [])
    },
  })
  await lab.run('standby.prepare_image', PREPARE)
  await lab.deps.deploy.images.release('clean step')
  expect(statusOf(lab)).toMatchObject({ progress: null, is_seeding: false })
})

test('trackers that fail are named with their reasons, without urls, until they answer or nobody asks them', () => {
  const stream = createEventStream({ now: () => 0 })
  const tell = (tracker: string, state: TrackerState, reason: string | null = null) =>
    stream.publish({ type: 'tracker', tracker, state, reason, fields: {} })
  const failing = () =>
    statusFields(stream.snapshot(), {
      nodeUuid: null,
      isSeeding: false,
      isImageOnDisk: false,
      leftOutManagers: [],
    }).failing_trackers
  tell('udp://t1:6969/announce', 'failing', 'no answer within 15 s')
  tell('http://t2/***/announce', 'failing', 'refused: unknown')
  expect(failing()).toEqual([
    { tracker: 'udp t1:6969/announce', reason: 'no answer within 15 s' },
    { tracker: 'http t2/***/announce', reason: 'refused: unknown' },
  ])
  tell('udp://t1:6969/announce', 'answering')
  expect(failing()).toHaveLength(1)
  tell('http://t2/***/announce', 'left')
  expect(failing()).toEqual([])
})
