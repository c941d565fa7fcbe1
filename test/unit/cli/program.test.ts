import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { CommandLine } from '../../../agent/cli/command-line.ts'
import { createProgram, runCommandLine } from '../../../agent/cli/program.ts'
import type { Verb } from '../../../agent/cli/verb.ts'
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
    ['missing flag', ['seed'], "required option '--path <path>'"],
    [
      'missing image',
      ['write', '--device', '/dev/x'],
      'InvalidCommandParamsError: nothing says which',
    ],
    ['missing device', ['write'], 'InvalidCommandParamsError: no DEVICE is named'],
    [
      'typing error',
      ['wrte'],
      "unknown command 'wrte' (Did you mean write?); see ironswarm --help",
    ],
    [
      'unknown flag',
      ['config', '--wibble'],
      "unknown option '--wibble'; see ironswarm config --help",
    ],
  ])('%s is one line on stderr and exit code 2', async (_name, argv, words) => {
    const { run, output } = lineWith()
    expect(await run(...argv)).toBe(2)
    expect(output.stderr.trim().split('\n')).toHaveLength(1)
    expect(output.stderr).toContain(`ironswarm: ${words}`)
  })

  test.each([
    ['help', 'write'],
    ['help', 'torrent', 'show'],
    ['torrent', 'help', 'show'],
    ['torrent', 'show', '--help'],
    ['torrent', 'show', '-h', 'file'],
    ['help', 'torrent'],
    ['help'],
  ])('%s %s %s shows help of just that', async (...words) => {
    const path = words.filter((word) => word && !/help|^-h$|^file$/.test(word)).join(' ')
    const { run, output } = lineWith()
    expect(await run(...words.filter((word) => word))).toBe(0)
    expect(output.stdout).toMatch(
      new RegExp(`^Usage: ironswarm ${path}${path && ' '}\\[options\\]`),
    )
    expect(output.stderr).toBe('')
  })

  test.each([
    [['help', 'wrte'], "unknown command 'wrte' (Did you mean write?); see ironswarm --help"],
    [['wrte', '--help'], "unknown command 'wrte' (Did you mean write?); see ironswarm --help"],
    [['help', 'torrent', 'wibble'], "unknown command 'wibble'; see ironswarm torrent --help"],
    [['torrent', 'help', 'wibble'], "unknown command 'wibble'; see ironswarm torrent --help"],
  ])('%j says that there is no such command', async (words, expected) => {
    const { run, output } = lineWith()
    expect(await run(...words)).toBe(2)
    expect(output).toEqual({ stdout: '', stderr: `ironswarm: ${expected}\n` })
  })

  test.each([
    [['write', 'image.raw', ''], 'a word'],
    [['write', '', '/dev/x'], 'a word'],
    [['torrent', 'create', '--path', 'i', '--output', ''], '--output'],
    [['doctor', '--url', 'http://h/i', '--url', ''], '--url'],
    [['config', '--config-dir', ''], '--config-dir'],
  ])('%j has a variable without a value, and does nothing', async (words, named) => {
    const { run, output } = lineWith()
    expect(await run(...words)).toBe(2)
    const expected = `ironswarm: InvalidCommandParamsError: ${named} is empty: has a variable no value?\n`
    expect(output).toEqual({ stdout: '', stderr: expected })
  })

  test('an option of the table may be empty, a folder of settings must be there', async () => {
    const { run, output } = lineWith()
    expect(await run('config', '--swarm-rack', '')).toBe(0)
    expect(await run('config', '--config-dir', '/nowhere/at/all')).toBe(2)
    expect(output.stderr).toMatch(/InvalidConfigError: .*--config-dir.*'\/nowhere\/at\/all'/)
  })

  test('a wrong value names option, place, value and what is allowed, and ends with 2', async () => {
    const { run, output } = lineWith()
    expect(await run('config', '--listen-port', 'many')).toBe(2)
    expect(output.stderr).toBe(
      'ironswarm: InvalidConfigError: option listen_port is "many" in --listen-port; allowed: a whole number 0–65535\n',
    )
  })

  test.each([
    ['a flag that is none', ['config', '--json', '--wibble']],
    ['a command that is none', ['wrte', '--json']],
    ['an option of no such value', ['config', '--json', '--listen-port', 'many']],
    ['a file that is not there', ['write', '--json', '--image-info', '/nowhere', '/dev/x']],
    ['an image without a hash', ['plan', '--json', '--url', 'http://h/i', '/dev/x']],
  ])('with --json %s is one object with its type, and nothing else', async (_name, argv) => {
    const { run, output } = lineWith()
    expect(await run(...argv)).toBe(2)
    expect(output.stdout.trim().split('\n')).toHaveLength(1)
    const { error } = JSON.parse(output.stdout)
    expect(error.type).toMatch(/^Invalid(?:CommandParams|Config)Error$/)
    expect(error.details).toMatch(/\w+/)
  })

  test('every command has examples that this program can parse, and marks what has to be given', async () => {
    for (const verb of leavesOf(createProgram(lineWith().line))) {
      expect([verb.path, verb.examples.length]).not.toEqual([verb.path, 0])
      for (const { line: typed } of verb.examples) {
        expect(typed.startsWith(`ironswarm ${verb.path}`)).toBe(true)
        const flags = typed.match(/(?<= )--[a-z-]+\d*/g) ?? []
        for (const flag of flags) expect(verb.options.map(({ long }) => long)).toContain(flag)
      }
      for (const { long, mandatory, description } of verb.options) {
        expect([long, / \(required\)$/.test(description)]).toEqual([long, mandatory])
      }
    }
  })

  test('notes of --help are as wide as the terminal', async () => {
    const { run, output } = lineWith()
    expect(await run('write', '--help')).toBe(0)
    const notes = output.stdout.slice(output.stdout.indexOf('The image is one of'))
    for (const text of notes.split('\n')) expect(text.length).toBeLessThanOrEqual(80)
    expect(notes).toMatch(/are refused\.\n$/)
  })

  test('--help of a command shows examples and defaults', async () => {
    const { run, output } = lineWith()
    expect(await run('write', '--help')).toBe(0)
    expect(output.stdout).toContain('Usage: ironswarm write [options] [IMAGE] DEVICE')
    expect(output.stdout).toMatch(/Examples:\n {2}# .*\n {2}ironswarm write --url/)
    expect(output.stdout).toMatch(/default:\s+"auto"/)
    output.stdout = ''
    expect(await run('run', '--help')).toBe(0)
    expect(output.stdout.replaceAll(/\s+/g, ' ')).toContain('(seconds ≥ 0; default 600)')
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

function leavesOf(verb: Verb): Verb[] {
  const inner = verb.commands as Verb[]
  return inner.length === 0 ? [verb] : inner.flatMap(leavesOf)
}

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
