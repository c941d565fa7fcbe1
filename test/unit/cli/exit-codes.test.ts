import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { EXIT_CODES, errorLine, exitCodeOf } from '../../../agent/cli/exit-codes.ts'
import { AgentError, type ErrorType } from '../../../agent/core/errors.ts'

describe('exitCodeOf', () => {
  test.each<[ErrorType, number]>([
    ['InvalidConfigError', 2],
    ['InvalidCommandParamsError', 2],
    ['InvalidMetainfoError', 2],
    ['ImageChecksumError', 3],
    ['ReadBackMismatchError', 3],
    ['TargetInUseError', 4],
    ['ImageDownloadError', 1],
  ])('%s ends with %d', (type, code) => expect(exitCodeOf(new AgentError(type, 'x'))).toBe(code))

  test('a digest that cannot be used ends with 2: no byte was compared', () =>
    expect(exitCodeOf(new AgentError('ImageChecksumError', 'x', { kind: 'operator' }))).toBe(2))

  test('a foreign error ends with 1', () => expect(exitCodeOf(new TypeError('x'))).toBe(1))
})

describe('errorLine', () => {
  test('is one line with type and details', () => {
    const error = new AgentError('TargetInUseError', '/dev/sda1 is mounted at /;\n  unmount it')
    expect(errorLine(error)).toBe(
      'ironswarm: TargetInUseError: /dev/sda1 is mounted at /; unmount it',
    )
  })

  test('gives no order to the terminal that it is shown on', () => {
    const line = errorLine(
      new AgentError('IronicAPIError', 'a\u001B[2Jb\u009B1mc\u2028d'),
      'e\u0007f',
    )
    expect(line).toBe('ironswarm: IronicAPIError: a [2Jb 1mc d. e f')
  })

  test('carries no secret', () => {
    const line = errorLine(new Error('GET http://u:s3cret@h/x?temp_url_sig=s3cret failed'))
    expect(line).not.toContain('s3cret')
    expect(line).toContain('http://***@h/x')
  })
})

test('docs/cli.md lists every exit code as the table has it', () => {
  const text = readFileSync('docs/cli.md', 'utf8')
  for (const { code, meaning } of Object.values(EXIT_CODES)) {
    expect(text).toContain(`| ${code} | ${meaning} |`)
  }
})
