import { describe, expect, test } from 'vitest'
import type { Config } from '../../../../agent/config/options.ts'
import { createBurninSteps } from '../../../../agent/hardware/burnin/steps.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import { createRoot } from '../../../../agent/system/root.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { diskWith } from '../disk-fixture.ts'
import { callWith } from '../manager-fixture.ts'

const log = createLogger({ level: 'silent' })

/** The steps on programs that are not there; what was run, and how it ended. */
function lab(answer: (line: string) => { stdout?: string; exitCode?: number } = () => ({})) {
  const ran: string[] = []
  const exec: Exec = async (argv, options) => {
    const line = argv.join(' ')
    ran.push(line)
    const { stdout = '', exitCode = 0 } = answer(line)
    options?.onStdout?.(Buffer.from(stdout))
    return { stdout: options?.onStdout ? '' : stdout, stderr: '', exitCode }
  }
  const steps = createBurninSteps({
    config: { erase_raid_members: true } as Config,
    exec,
    root: createRoot('/nonexistent'),
    log,
    listDisks: async () => [diskWith({ name: '/nonexistent/sda' })],
  })
  const run = async (name: string, driver_info: object) =>
    await steps
      .find(({ announce }) => announce.step === name)
      ?.run({ ...callWith(), node: { driver_info } })
  return { run, ran, steps }
}

/** What fio answers of one job. */
const fioJob = (fields: object) => JSON.stringify({ jobs: [{ jobname: 'x', ...fields }] }, null, 2)

describe('the fields of driver_info', () => {
  test.each([
    [
      'burnin_cpu',
      { agent_burnin_cpu_timeout: -1 },
      /agent_burnin_cpu_timeout must be a whole number from 1/,
    ],
    [
      'burnin_cpu',
      { agent_burnin_cpu_cpu: 'all' },
      /agent_burnin_cpu_cpu must be a whole number from 0/,
    ],
    [
      'burnin_cpu',
      { agent_burnin_cpu_outputfile: 'cpu.log' },
      /outputfile must be an absolute path/,
    ],
    ['burnin_cpu', { agent_burnin_cpu_outputfile: '/var/../etc/x' }, /without \.\./],
    ['burnin_cpu', { agent_burnin_cpu_outputfile: 7 }, /absolute path/],
    ['burnin_memory', { 'agent_burnin_vm_vm-bytes': '--exec' }, /vm-bytes must be a size/],
    ['burnin_memory', { agent_burnin_vm_timeout: 864_001 }, /from 1 to 864000/],
    ['burnin_disk', { agent_burnin_fio_disk_loops: 0 }, /loops must be a whole number from 1/],
    ['burnin_network', { agent_burnin_fio_network_runtime: 0.5 }, /runtime must be a whole number/],
    ['burnin_gpu', { agent_burnin_gpu_memory: '95 %' }, /memory must be MB, or a share/],
    [
      'burnin_gpu',
      { agent_burnin_gpu_install_dir: 'gpu-burn' },
      /install_dir must be an absolute path/,
    ],
  ])('of %s are refused as %j, before anything runs', async (step, fields, details) => {
    const { run, ran } = lab()
    await expect(run(step, fields)).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      details: expect.stringMatching(details),
    })
    expect(ran).toEqual([])
  })

  test('have the defaults of ironic-python-agent', async () => {
    const { run, ran } = lab(() => ({ stdout: 'GPU 0: OK\n' }))
    await run('burnin_cpu', {})
    await run('burnin_memory', {})
    await run('burnin_gpu', {})
    expect(ran).toEqual([
      'stress-ng --cpu 0 --timeout 86400 --metrics-brief --verify',
      'stress-ng --vm 0 --vm-bytes 98% --timeout 86400 --metrics-brief --verify',
      '/opt/gpu-burn/gpu_burn -m 95% 86400',
    ])
  })
})

describe('burnin_disk', () => {
  test('has the verdict of fio, however it ended', async () => {
    for (const [fields, details] of [
      [{ error: 5, read: { io_bytes: 4096 } }, /errno 5, 0 errors/],
      [{ error: 0, total_err: 3 }, /errno 0, 3 errors/],
    ] as const) {
      const { run } = lab((line) => (line.startsWith('fio') ? { stdout: fioJob(fields) } : {}))
      await expect(run('burnin_disk', {})).rejects.toMatchObject({
        type: 'CommandExecutionError',
        details: expect.stringMatching(details),
      })
    }
  })

  test('fails where fio says nothing of the disk', async () => {
    const { run } = lab((line) =>
      line.startsWith('fio') ? { stdout: 'fio: something else\n' } : {},
    )
    await expect(run('burnin_disk', {})).rejects.toThrow('0 of 1 disks answered')
  })

  test.each([
    ['completed without error', undefined],
    ['completed: read failure', 'CleaningError'],
  ])('has the drive test itself where that is asked for: %s', async (string, type) => {
    const status = { ata_smart_data: { self_test: { status: { string } } } }
    const { run, ran } = lab((line) => {
      if (line.startsWith('fio')) return { stdout: fioJob({ jobname: '/nonexistent/sda' }) }
      return line.startsWith('smartctl -ja') ? { stdout: JSON.stringify(status), exitCode: 4 } : {}
    })
    const running = run('burnin_disk', { agent_burnin_fio_disk_smart_test: true })
    if (type === undefined) {
      expect(await running).toEqual({
        '/nonexistent/sda':
          '0 B written, 0 B read, all as written; its self-test completed without error',
      })
    } else
      await expect(running).rejects.toMatchObject({
        type,
        details: expect.stringContaining(string),
      })
    expect(ran).toContain('smartctl -t long /nonexistent/sda')
  })
})

describe('burnin_network', () => {
  const config = (role: string, partner: unknown = '192.0.2.7') => ({
    agent_burnin_fio_network_config: { role, partner },
    agent_burnin_fio_network_runtime: 60,
  })

  test.each([
    ['writer', ['writer', 'reader']],
    ['reader', ['reader', 'writer']],
  ])('as %s plays both roles, its own first', async (role, order) => {
    const { run, ran } = lab(() => ({ stdout: fioJob({ read: { io_bytes: 1024 } }) }))
    expect(await run('burnin_network', config(role))).toMatch(
      /1\.0 KiB (sent to|received from) 192\.0\.2\.7; /,
    )
    expect(ran.map((line) => /--name=(\w+)/.exec(line)?.[1])).toEqual(order)
    expect(ran.find((line) => line.includes('--name=writer'))).toContain(
      '--runtime=60 --time_based --listen',
    )
    expect(ran.find((line) => line.includes('--name=reader'))).toContain('--hostname=192.0.2.7')
  })

  test.each([
    ['no partner', config('writer', ''), /needs partner/],
    ['a partner that is a flag', config('writer', '--exec=x'), /needs partner/],
    ['no role', config('spectator'), /needs role, one of writer, reader/],
    [
      'neither',
      {},
      /nobody says who the partner of this node is; give both nodes .*network_config/,
    ],
    [
      'a coordination backend',
      { agent_burnin_fio_network_pairing_backend_url: 'zookeeper://user:secret@zk1:2181' },
      /no coordination backend, and zookeeper is one; give both nodes/,
    ],
  ])('with %s fails with what to do, and shows no secret', async (_case, fields, details) => {
    const { run, ran } = lab()
    const error = await run('burnin_network', fields).catch((each: unknown) => each)
    expect(error).toMatchObject({ type: 'CleaningError', details: expect.stringMatching(details) })
    expect(String(error)).not.toContain('secret')
    expect(ran).toEqual([])
  })

  test('fails where fio does, and a reader that has received something does not try again', async () => {
    const { run, ran } = lab(() => ({ exitCode: 16, stdout: fioJob({ read: { io_bytes: 1 } }) }))
    await expect(run('burnin_network', config('reader'))).rejects.toThrow('exit code 16')
    expect(ran).toHaveLength(1)
  })
})

describe('burnin_gpu', () => {
  test('counts the GPUs where a number is expected', async () => {
    const { run } = lab((line) => ({
      stdout: line.endsWith('-l') ? 'ID 0: A100\nID 1: A100\n' : '',
    }))
    await expect(run('burnin_gpu', { agent_burnin_gpu_count: 4 })).rejects.toMatchObject({
      type: 'CleaningError',
      details: 'burn-in of gpu: there are 2 GPUs, not 4',
    })
    expect(await run('burnin_gpu', { agent_burnin_gpu_count: 2 })).toBe('gpu: 86400 s by gpu-burn')
  })

  test('fails for a faulty one, though gpu-burn ends with 0', async () => {
    const { run } = lab(() => ({
      stdout: '10%\r100%\nTested 2 GPUs:\n\tGPU 0: OK\n\tGPU 1: FAULTY\n',
    }))
    await expect(run('burnin_gpu', {})).rejects.toMatchObject({
      type: 'CommandExecutionError',
      details: 'burn-in of gpu: gpu_burn: exit code 0: GPU 1: FAULTY',
    })
  })
})

test('disks of a node in service are not burned in', () => {
  const kinds = Object.fromEntries(lab().steps.map((step) => [step.announce.step, step.kinds]))
  expect(kinds).toEqual({
    burnin_cpu: ['clean', 'service'],
    burnin_gpu: ['clean', 'service'],
    burnin_disk: ['clean'],
    burnin_memory: ['clean', 'service'],
    burnin_network: ['clean', 'service'],
  })
})
