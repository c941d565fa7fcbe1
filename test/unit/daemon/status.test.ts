import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { statusDocument } from '../../../agent/daemon/status.ts'
import { createExtensionLab, PROGRESS, writtenImage } from '../extensions/extension-lab.ts'

const PREPARE = {
  image_info: {
    id: 'img.raw',
    urls: ['http://192.0.2.1/img.raw'],
    os_hash_algo: 'sha256',
    os_hash_value: 'ab'.repeat(32),
  },
}
const DONE = { ...PROGRESS, step: 'done' } as const
const idle = { progress: () => undefined }

test('an agent that has done nothing yet says so', async () => {
  await using lab = await createExtensionLab()
  const { deploy } = lab.deps
  expect(statusDocument({ nodeUuid: null, runner: idle, deploy })).toEqual({
    node_uuid: null,
    command: null,
    progress: null,
    is_seeding: false,
  })
})

test('a write that has ended well goes on being shown, with the seeding it left', async () => {
  await using lab = await createExtensionLab({
    deployImage: async (request) => {
      request.onProgress(DONE)
      return writtenImage(request, [])
    },
  })
  await lab.run('standby.prepare_image', PREPARE)
  const { deploy } = lab.deps
  expect(statusDocument({ nodeUuid: 'n', runner: idle, deploy })).toEqual({
    node_uuid: 'n',
    command: null,
    progress: DONE,
    is_seeding: true,
  })
})

test('a write that has failed is not shown as one that goes on', async () => {
  await using lab = await createExtensionLab({
    deployImage: async () => {
      throw new AgentError('ImageChecksumError', 'wrong')
    },
  })
  await expect(lab.run('standby.prepare_image', PREPARE)).rejects.toThrow('wrong')
  const { deploy } = lab.deps
  expect(statusDocument({ nodeUuid: 'n', runner: idle, deploy })).toMatchObject({
    progress: null,
    is_seeding: false,
  })
})

test('the running command is shown by its name and progress', async () => {
  await using lab = await createExtensionLab()
  const { deploy } = lab.deps
  const running = { command_name: 'execute_deploy_step', progress: PROGRESS }
  expect(
    statusDocument({ nodeUuid: 'n', runner: { progress: () => running }, deploy }),
  ).toMatchObject({ command: 'execute_deploy_step', progress: PROGRESS })
})
