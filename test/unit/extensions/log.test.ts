import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTar, type TarMember } from '../../../agent/hardware/log-bundle/tar.ts'
import { createExtensionLab, type ExtensionLabOptions } from './extension-lab.ts'

/** Unpacks with the tar of the machine, which is what an operator would do. */
function unpack(archive: Uint8Array, flags: string): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'ironswarm-tar-'))
  try {
    writeFileSync(join(folder, 'archive'), archive)
    execFileSync('mkdir', [join(folder, 'out')])
    execFileSync('tar', [flags, join(folder, 'archive'), '-C', join(folder, 'out')])
    const files = readdirSync(join(folder, 'out'), { recursive: true, withFileTypes: true })
    return Object.fromEntries(
      files
        .filter((entry) => entry.isFile())
        .map((entry) => {
          const path = join(entry.parentPath, entry.name)
          return [path.slice(join(folder, 'out').length + 1), readFileSync(path, 'utf8')]
        }),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function collect(options: ExtensionLabOptions = {}): Promise<Record<string, string>> {
  await using lab = await createExtensionLab(options)
  const result = (await lab.run('log.collect_system_logs')) as { system_logs: string }
  expect(Object.keys(result)).toEqual(['system_logs'])
  return unpack(Buffer.from(result.system_logs, 'base64'), '-xzf')
}

describe('log.collect_system_logs', () => {
  test('is the base64 of a tar.gz with the logs of the machine and our own', async () => {
    const files = await collect({ answers: { dmesg: 'Linux version 6', df: 'Filesystem' } })
    expect(Object.keys(files).sort()).toEqual([
      'df',
      'dmesg',
      'ironswarm/agent.log',
      'ironswarm/state.json',
      'left_out',
    ])
    expect(files['dmesg']).toBe('Linux version 6')
    expect(files['ironswarm/agent.log']).toContain('agent started')
  })

  test('tells what was written and how far the last write came', async () => {
    await using lab = await createExtensionLab()
    await lab.run('standby.prepare_image', {
      image_info: {
        id: 'img.raw',
        urls: ['http://192.0.2.1/img.raw'],
        os_hash_algo: 'sha256',
        os_hash_value: 'ab'.repeat(32),
      },
    })
    const result = (await lab.run('log.collect_system_logs')) as { system_logs: string }
    const files = unpack(Buffer.from(result.system_logs, 'base64'), '-xzf')
    expect(JSON.parse(files['ironswarm/state.json'] ?? '')).toMatchObject({
      progress: { percent: 50 },
      written: { imageId: 'img.raw', rootUuid: '0x1234abcd', seeding: true },
      hardware_manager_version: { generic_hardware_manager: '1.5' },
    })
  })

  test('carries no secrets of the agent', async () => {
    const recentLog = () => 'GET /v1/commands/?wait=true&agent_token=SECRET http://u:SECRET@h/x'
    const files = await collect({ deps: { recentLog } })
    expect(files['ironswarm/agent.log']).toContain('GET /v1/commands')
    expect(JSON.stringify(files)).not.toContain('SECRET')
  })

  test('names a hardware manager that is left out, and why', async () => {
    const evaluateHardwareSupport = async () => {
      throw new Error('no licence')
    }
    const broken = { name: 'broken', version: '1', label: 'Broken', evaluateHardwareSupport }
    const files = await collect({ managers: [{ ...broken, steps: [] }] })
    expect(JSON.parse(files['ironswarm/state.json'] ?? '')).toMatchObject({
      left_out_hardware_managers: [{ manager: 'broken', reason: 'no licence' }],
    })
  })

  test('still brings our own log when a hardware manager fails', async () => {
    const files = await collect({
      managers: [
        {
          name: 'broken',
          version: '1',
          label: 'Broken',
          evaluateHardwareSupport: async () => 2,
          steps: [],
          collectSystemLogs: async () => {
            throw new Error('broken')
          },
        },
      ],
    })
    expect(Object.keys(files).sort()).toEqual(['ironswarm/agent.log', 'ironswarm/state.json'])
  })

  test('takes no parameters', async () => {
    await using lab = await createExtensionLab()
    await expect(lab.run('log.collect_system_logs', { lines: 5 })).rejects.toMatchObject({
      status: 400,
    })
  })
})

describe('a tar archive', () => {
  test('is unpacked by tar to the same names and contents', () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}(\/[a-zA-Z0-9_-]{1,20}){0,2}$/)
    const member: fc.Arbitrary<TarMember> = fc.record({
      name: name.map((text) => `d/${text}.txt`),
      content: fc.string({ unit: 'grapheme', maxLength: 2000 }),
    })
    fc.assert(
      fc.property(
        fc.uniqueArray(member, { selector: (one) => one.name.toLowerCase(), maxLength: 5 }),
        (members) => {
          const expected = Object.fromEntries(members.map(({ name, content }) => [name, content]))
          expect(unpack(createTar(members, 1_700_000_000), '-xf')).toEqual(expected)
        },
      ),
      { numRuns: 15 },
    )
  })

  test('keeps every member inside of the directory it is unpacked in', () => {
    const members = [{ name: '/../../etc/passwd', content: 'x' }]
    expect(unpack(createTar(members, 0), '-xf')).toEqual({ 'etc/passwd': 'x' })
  })
})
