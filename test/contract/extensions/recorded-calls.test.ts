import { readFileSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CommandResult } from '../../../agent/commands/command.ts'
import { type CommandRunner, createRunner } from '../../../agent/commands/runner.ts'
import { isObject, type JsonObject } from '../../../agent/core/json.ts'
import { GiB, MiB } from '../../../agent/core/units.ts'
import { runToEnd } from '../../support/agent-in-process.ts'
import {
  createExtensionLab,
  type ExtensionLab,
  type ExtensionLabOptions,
} from '../../unit/extensions/extension-lab.ts'

/** A POST that a real conductor 21.4 sent to an agent, and what that agent answered. */
interface RecordedCall {
  readonly name: string
  readonly params: JsonObject
  readonly wait: boolean
  readonly answer: CommandResult
}

function recordedCalls(trace: string): RecordedCall[] {
  const lines = readFileSync(`test/fixtures/traces/${trace}.jsonl`, 'utf8').trim().split('\n')
  return lines
    .map((line) => JSON.parse(line))
    .filter((row) => row.dir === 'ironic->agent' && row.method === 'POST')
    .map((row) => ({
      name: row.body.name,
      params: row.body.params,
      wait: String(row.path).includes('wait=true'),
      answer: row.resp,
    }))
}

/** Steps of the recordings that other issues bring. */
const NOT_OFFERED = [
  // of the recorded agent's own hardware manager
  'my_reboot_step',
]

/** A machine of these tests has one disk; what comes of arrays is seen in test/e2e/vm/raid-configuration.test.ts. */
const NEEDS_DISKS = ['apply_configuration', 'create_configuration']
const WITHOUT_DISKS = {
  command_status: 'FAILED',
  command_error: {
    type: 'SoftwareRAIDError',
    details: expect.stringContaining('which takes 2 disks or more; there is 1'),
  },
}

/** Nor has it partitions: what comes of files is seen in test/integration/hardware/inject-files.test.ts. */
const WITHOUT_PARTITIONS = {
  command_status: 'FAILED',
  command_error: { type: 'DeviceNotFound' },
}

/** One recorded node has the root device hint `size: ">= 5"`. */
const UEFI: ExtensionLabOptions = {
  diskBytes: 6 * GiB,
  files: { '/sys/firmware/efi/fw_platform_size': '64' },
  answers: {
    'efibootmgr --version': 'version 17',
    lsblk: '',
    partx: '',
    udevadm: '',
    wipefs: '',
  },
}

/** Small, because erase_devices writes every byte of it. */
const CLEANED: ExtensionLabOptions = { ...UEFI, diskBytes: 32 * MiB }

const RESCUE_PASSWORD_FILE = '/etc/ipa-rescue-config/ipa-rescue-password'

interface Replay {
  readonly call: RecordedCall
  /** What the POST answered. */
  readonly reply: CommandResult
  /** The result once it has ended. */
  readonly end: CommandResult
}

/** Sends every recorded call, each after the end of the one before, as heartbeats make it happen. */
async function replay(trace: string, options: ExtensionLabOptions = UEFI) {
  await using lab = await createExtensionLab(options)
  const runDir = await mkdtemp(join(tmpdir(), 'ironswarm-replay-'))
  const runner = createRunner({
    extensions: lab.extensions,
    runDir,
    log: lab.deps.log,
    events: lab.stream,
  })
  try {
    const replays: Replay[] = []
    for (const call of recordedCalls(trace)) {
      const params = withOwnRootUuid(withOwnVersions(call.params, lab))
      if (call.name === 'image.install_bootloader') await identify(lab.diskPath)
      const started = await runner.execute(call.name, params)
      const end = await runner.whenDone(started.id)
      replays.push({ call, reply: call.wait ? end : started, end })
    }
    const rescuePassword = await lab.machine.root.readText(RESCUE_PASSWORD_FILE)
    return { replays, lab, diskPath: lab.diskPath, listed: runner.list(), rescuePassword }
  } finally {
    await stop(runner)
    await rm(runDir, { recursive: true, force: true })
  }
}

function stop(runner: CommandRunner): Promise<void> {
  return runner.close()
}

/** The conductor repeats the versions this agent gave it, not those of the recorded one. */
function withOwnVersions(params: JsonObject, lab: ExtensionLab): JsonObject {
  const key = ['deploy_version', 'clean_version'].find((version) => version in params)
  return key === undefined ? params : { ...params, [key]: lab.deps.hardware.versions() }
}

/** What the lab's writes answer with (extension-lab.ts). */
const ROOT_UUID = 0x1234abcd

/** The conductor repeats the root uuid this agent gave it. */
function withOwnRootUuid(params: JsonObject): JsonObject {
  return params['root_uuid'] ? { ...params, root_uuid: `0x${ROOT_UUID.toString(16)}` } : params
}

/** Gives the disk the identifier of the image that was written to it. */
async function identify(diskPath: string): Promise<void> {
  const identifier = Buffer.alloc(4)
  identifier.writeUInt32LE(ROOT_UUID)
  await using disk = await open(diskPath, 'r+')
  await disk.write(identifier, 0, identifier.length, 440)
}

const DEPLOYS = [
  'tr-deploy-uefi',
  'tr-deploy-bios-partition',
  'tr-deploy-template',
  'tr-deploy-tls-no-inband-write',
  'tr-deploy-failure',
  'tr-fasttrack-agent-power',
]

describe.each(DEPLOYS)('the calls of %s', (trace) => {
  test('are answered with the five keys and the short names the conductor reads', async () => {
    const { replays, listed } = await replay(trace)
    expect(replays.length).toBeGreaterThan(1)
    for (const { call, reply } of replays) {
      expect(Object.keys(reply)).toEqual(Object.keys(call.answer))
      expect(reply.command_name).toBe(call.answer.command_name)
      expect(reply.command_status, call.name).toBe(call.answer.command_status)
    }
    expect(listed.map(({ id }) => id)).toEqual(replays.map(({ reply }) => reply.id))
  })

  test('end with success where this agent offers the step, and name it where it does not', async () => {
    const { replays } = await replay(trace)
    for (const { call, end } of replays) {
      const step = isObject(call.params['step']) ? call.params['step'] : undefined
      if (NOT_OFFERED.includes(String(step?.['step']))) {
        expect(end).toMatchObject({
          command_status: 'FAILED',
          command_error: { type: 'HardwareManagerMethodNotFound' },
        })
      } else if (NEEDS_DISKS.includes(String(step?.['step']))) {
        expect(end).toMatchObject(WITHOUT_DISKS)
      } else if (step?.['step'] === 'inject_files') {
        expect(end).toMatchObject(WITHOUT_PARTITIONS)
      } else {
        expect(end, call.name).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
      }
    }
  })

  test('get steps with interface, step and priority, and versions as a map of strings', async () => {
    const { replays } = await replay(trace)
    const steps = replays.filter(({ call }) => call.name === 'deploy.get_deploy_steps')
    expect(steps.length).toBeGreaterThan(0)
    for (const { end } of steps) {
      const result = end.command_result as JsonObject
      expect(Object.keys(result)).toEqual(['deploy_steps', 'hardware_manager_version'])
      const lists = Object.values(result['deploy_steps'] as Record<string, JsonObject[]>)
      for (const step of lists.flat()) {
        expect(step).toMatchObject({
          interface: expect.any(String),
          step: expect.any(String),
          priority: expect.any(Number),
          reboot_requested: expect.any(Boolean),
        })
      }
      expect(lists.flat().map(({ step }) => step)).toContain('write_image')
      const versions = Object.values(result['hardware_manager_version'] as JsonObject)
      expect(versions.every((version) => typeof version === 'string')).toBe(true)
    }
  })

  test('write the recorded image with the recorded config drive, and get the step echoed', async () => {
    const { replays, lab, diskPath } = await replay(trace)
    const writes = replays.filter(({ call }) => {
      const step = call.params['step']
      return isObject(step) && step['step'] === 'write_image'
    })
    expect(writes).toHaveLength(lab.deploys.length)
    for (const [i, { call, end }] of writes.entries()) {
      const step = call.params['step'] as JsonObject
      const args = step['args'] as JsonObject
      const imageInfo = args['image_info'] as JsonObject
      expect(lab.deploys[i]).toMatchObject({
        devicePath: diskPath,
        configdrive: args['configdrive'] ?? imageInfo['configdrive'] ?? null,
        imageInfo: {
          id: imageInfo['id'],
          urls: imageInfo['urls'],
          nodeUuid: (call.params['node'] as JsonObject)['uuid'],
        },
      })
      expect(end.command_result).toEqual({
        deploy_result: {
          result: `prepare_image: image (${imageInfo['id']}) written to device ${diskPath} root_uuid=0x1234abcd`,
        },
        deploy_step: step,
      })
    }
  })
})

/** This agent's own; ironic-python-agent's steps take none. */
const ERASE_ARGUMENTS = {
  verify: { description: expect.any(String), required: false },
  nvme_erase_method: { description: expect.any(String), required: false },
}

describe.each(['tr-clean-automated', 'tr-clean-manual'])('the calls of %s', (trace) => {
  test('are answered with the recorded keys, names and statuses', async () => {
    const { replays } = await replay(trace, CLEANED)
    expect(replays.length).toBeGreaterThan(2)
    for (const { call, reply } of replays) {
      expect(Object.keys(reply)).toEqual(Object.keys(call.answer))
      expect(reply.command_name).toBe(call.answer.command_name)
      expect(reply.command_status, call.name).toBe(call.answer.command_status)
    }
  })

  test('get the clean steps with the priorities Ironic knows of ironic-python-agent', async () => {
    const { replays } = await replay(trace, CLEANED)
    const end = replays.find(({ call }) => call.name === 'clean.get_clean_steps')?.end
    const common = { interface: 'deploy', reboot_requested: false, abortable: true }
    expect(end?.command_result).toEqual({
      clean_steps: {
        GenericHardwareManager: [
          { ...common, step: 'erase_devices_metadata', priority: 99 },
          { ...common, step: 'erase_devices', priority: 10, argsinfo: ERASE_ARGUMENTS },
          { ...common, step: 'erase_devices_express', priority: 0, argsinfo: ERASE_ARGUMENTS },
          { ...common, step: 'erase_pstore', priority: 0 },
          {
            ...common,
            step: 'clean_uefi_nvram',
            priority: 0,
            argsinfo: { match_patterns: { description: expect.any(String), required: false } },
          },
          { ...common, step: 'burnin_cpu', priority: 0 },
          { ...common, step: 'burnin_gpu', priority: 0 },
          { ...common, step: 'burnin_disk', priority: 0 },
          { ...common, step: 'burnin_memory', priority: 0 },
          { ...common, step: 'burnin_network', priority: 0 },
          { ...common, interface: 'raid', step: 'delete_configuration', priority: 0 },
          { ...common, interface: 'raid', step: 'create_configuration', priority: 0 },
        ],
      },
      hardware_manager_version: { generic_hardware_manager: '1.5' },
    })
  })

  test('run the step and echo it exactly, or name the step this agent does not offer', async () => {
    const { replays, diskPath } = await replay(trace, CLEANED)
    const steps = replays.filter(({ call }) => call.name === 'clean.execute_clean_step')
    expect(steps.length).toBeGreaterThan(1)
    for (const { call, end } of steps) {
      const step = call.params['step'] as JsonObject
      const name = String(step['step'])
      if (NOT_OFFERED.includes(name)) {
        expect(end).toMatchObject({
          command_status: 'FAILED',
          command_error: { type: 'HardwareManagerMethodNotFound' },
        })
        continue
      }
      if (NEEDS_DISKS.includes(name)) {
        expect(end).toMatchObject(WITHOUT_DISKS)
        continue
      }
      const result = name === 'erase_devices' ? { [diskPath]: expect.any(String) } : null
      expect(end).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
      expect(end.command_result).toEqual({ clean_result: result, clean_step: step })
    }
  })
})

test('the recorded rescue call has succeeded with its answer, and leaves the hash for the login', async () => {
  const { replays, rescuePassword } = await replay('tr-rescue', {
    files: { '/etc/ipa-rescue-config/.keep': '' },
  })
  expect(replays).toHaveLength(1)
  const { call, reply } = replays[0] as Replay
  expect(call.wait).toBe(false)
  expect(reply).toEqual({ ...call.answer, id: reply.id })
  expect(rescuePassword).toBe(call.params['rescue_password'])
})

test('partition UUIDs carry the key the conductor reads', async () => {
  const { replays } = await replay('tr-deploy-uefi')
  const uuids = replays.find(({ call }) => call.name === 'standby.get_partition_uuids')
  expect(uuids?.call.answer.command_result).toHaveProperty(['root uuid'])
  expect(uuids?.end.command_result).toEqual({ 'root uuid': '0x1234abcd' })
})

test('the recorded boot loader call reaches the UEFI set-up with the root disk', async () => {
  const { lab, diskPath } = await replay('tr-deploy-uefi')
  expect(lab.bootloaders).toMatchObject([{ devicePath: diskPath, efiSystemPartUuid: null }])
})

test('a deployment ends with seeding stopped before the machine is switched off', async () => {
  const { lab } = await replay('tr-deploy-uefi')
  expect(lab.events).toEqual(['deploy', 'seeding ended', 'power off'])
})

test('the log bundle of a failed deployment is a gzip file in base64, like the recorded one', async () => {
  const { replays } = await replay('tr-deploy-failure')
  const logs = replays.find(({ call }) => call.name === 'log.collect_system_logs')
  for (const result of [logs?.call.answer, logs?.end]) {
    const { system_logs } = { ...(result?.command_result as JsonObject) }
    expect([...Buffer.from(String(system_logs), 'base64').subarray(0, 2)]).toEqual([0x1f, 0x8b])
  }
})

test('clean steps of another version map get the status that makes the conductor start over', async () => {
  await using lab = await createExtensionLab()
  const runDir = await mkdtemp(join(tmpdir(), 'ironswarm-replay-'))
  const runner = createRunner({
    extensions: lab.extensions,
    runDir,
    log: lab.deps.log,
    events: lab.stream,
  })
  try {
    const erase = recordedCalls('tr-clean-automated').find(({ name }) =>
      name.endsWith('execute_clean_step'),
    )
    const result = await runToEnd(runner, erase?.name ?? '', erase?.params)
    expect(result).toMatchObject({
      command_name: 'execute_clean_step',
      command_status: 'CLEAN_VERSION_MISMATCH',
      command_error: { type: 'VersionMismatch', code: 409 },
    })
  } finally {
    await stop(runner)
    await rm(runDir, { recursive: true, force: true })
  }
})

test('steps of another version map get the status that makes the conductor ask again', async () => {
  await using lab = await createExtensionLab()
  const runDir = await mkdtemp(join(tmpdir(), 'ironswarm-replay-'))
  const runner = createRunner({
    extensions: lab.extensions,
    runDir,
    log: lab.deps.log,
    events: lab.stream,
  })
  try {
    const write = recordedCalls('tr-deploy-uefi').find(({ name }) =>
      name.endsWith('execute_deploy_step'),
    )
    const result = await runToEnd(runner, write?.name ?? '', write?.params)
    expect(result).toMatchObject({
      command_status: 'CLEAN_VERSION_MISMATCH',
      command_error: { type: 'VersionMismatch', code: 409 },
    })
    expect(lab.deploys).toEqual([])
  } finally {
    await stop(runner)
    await rm(runDir, { recursive: true, force: true })
  }
})
