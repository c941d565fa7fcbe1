import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { CommandLine } from '../../../agent/cli/command-line.ts'
import { createProgram, runCommandLine } from '../../../agent/cli/program.ts'
import { OPTIONS } from '../../../agent/config/options.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'

function lineWith(env: Record<string, string> = {}) {
  const output = { stdout: '', stderr: '' }
  const line: CommandLine = {
    env,
    stdout: { write: (text) => (output.stdout += text) },
    stderr: { write: (text) => (output.stderr += text) },
    signal: new AbortController().signal,
    events: createEventStream({ now: () => 0 }),
    now: () => 0,
    random: () => 0,
    version: '1.2.3',
    loadAgent: () => Promise.reject(new Error('no command of this test needs it')),
  }
  return { line, output, run: (...argv: string[]) => runCommandLine(argv, line) }
}

describe('runCommandLine', () => {
  test('--help shows every command and every exit code', async () => {
    const { run, output } = lineWith()
    expect(await run('--help')).toBe(0)
    for (const name of [
      'run',
      'write',
      'plan',
      'verify',
      'seed',
      'torrent',
      'inventory',
      'config',
    ]) {
      expect(output.stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    }
    expect(output.stdout).toMatch(/Exit codes:[\s\S]+130/)
  })

  test.each([
    ['unknown command', ['wibble'], "unknown command 'wibble'"],
    ['missing flag', ['write', '--device', '/dev/x'], "required option '--image-info <file>'"],
    ['unknown flag', ['config', '--wibble'], "unknown option '--wibble'"],
  ])('%s is one line on stderr and exit code 2', async (_name, argv, words) => {
    const { run, output } = lineWith()
    expect(await run(...argv)).toBe(2)
    expect(output.stderr.trim().split('\n')).toHaveLength(1)
    expect(output.stderr).toContain(`ironswarm: ${words}`)
  })

  test('a wrong value names option, place, value and what is allowed, and ends with 2', async () => {
    const { run, output } = lineWith()
    expect(await run('config', '--listen-port', 'many')).toBe(2)
    expect(output.stderr).toBe(
      'ironswarm: InvalidConfigError: option listen_port is "many" in --listen-port; allowed: a whole number 0–65535\n',
    )
  })

  test('config prints value and origin; flags beat the environment', async () => {
    const { run, output } = lineWith({
      IRONSWARM_SWARM_MODE: 'off',
      IRONSWARM_LISTEN_PORT: '1',
      IRONSWARM_AGENT_TOKEN: 's3cret',
    })
    const flags = ['--listen-port', '2', '--no-md5-enabled', '--swarm-trackers', 'udp://a:1']
    expect(await run('config', '--json', ...flags, '--swarm-trackers', 'udp://b:1')).toBe(0)
    const options = JSON.parse(output.stdout)
    expect(options.swarm_mode).toEqual({
      value: 'off',
      origin: 'environment IRONSWARM_SWARM_MODE',
    })
    expect(options.listen_port).toEqual({ value: 2, origin: '--listen-port' })
    expect(options.md5_enabled).toEqual({ value: false, origin: '--no-md5-enabled' })
    expect(options.swarm_trackers.value).toEqual(['udp://a:1', 'udp://b:1'])
    expect(options.agent_token.value).toBe('***')
    expect(output.stdout + output.stderr).not.toContain('s3cret')
  })

  test('config without --json is one row per option', async () => {
    const { run, output } = lineWith()
    await run('config')
    expect(output.stdout.trim().split('\n')).toHaveLength(Object.keys(OPTIONS).length)
  })
})

describe('flags', () => {
  test('every option but the secret ones has a flag, because a process list is public', () => {
    const run = createProgram(lineWith().line).commands.find((command) => command.name() === 'run')
    const flags = new Set(run?.options.map(({ long }) => long))
    for (const [name, row] of Object.entries(OPTIONS)) {
      const isSecret = 'secret' in row && row.secret === true
      expect([name, flags.has(`--${name.replaceAll('_', '-')}`)]).toEqual([name, !isSecret])
    }
  })
})

test('docs/cli.md shows every command with each of its own flags', () => {
  const text = readFileSync('docs/cli.md', 'utf8')
  const commands = createProgram(lineWith().line).commands.flatMap((command) =>
    command.commands.length > 0 ? command.commands : [command],
  )
  for (const command of commands) {
    const { parent } = command
    const name = parent?.parent ? `${parent.name()} ${command.name()}` : command.name()
    expect(text).toContain(`## \`ironswarm ${name}`)
    const isOption = (long: string) =>
      Object.hasOwn(OPTIONS, long.replace(/^--(no-)?/, '').replaceAll('-', '_'))
    for (const { long } of command.options) {
      if (long && !isOption(long)) expect(text).toContain(`\`${long}`)
    }
  }
})
