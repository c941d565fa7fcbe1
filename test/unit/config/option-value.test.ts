import { describe, expect, test } from 'vitest'
import { parseOption } from '../../../agent/config/option-value.ts'
import type { OptionName } from '../../../agent/config/options.ts'

const parse = (name: OptionName, text: string, isLenient = false) =>
  parseOption(name, { text, origin: 'here', isLenient })

describe('parseOption', () => {
  test.each<[OptionName, string, unknown]>([
    ['debug', 'Yes', true],
    ['debug', 'T', true],
    ['debug', 'off', false],
    ['listen_port', ' 6385 ', 6385],
    ['lookup_timeout', '0.5', 0.5],
    ['swarm_upload_limit', '10M', 10 * 1024 * 1024],
    ['swarm_mode', 'Require', 'require'],
    ['api_url', 'http://a:1, http://b/', ['http://a:1', 'http://b/']],
    ['api_url', '', []],
    ['swarm_trackers', 'udp://a\nudp://b,', ['udp://a', 'udp://b']],
    ['advertise_host', '', null],
    ['ironic_api_version', '1.68', '1.68'],
  ])('%s takes "%s"', (name, text, value) => expect(parse(name, text)).toEqual(value))

  test.each<[OptionName, string]>([
    ['debug', 'perhaps'],
    ['listen_port', '65536'],
    ['listen_port', '1e3'],
    ['lookup_timeout', '-1'],
    ['lookup_timeout', 'Infinity'],
    ['ip_lookup_attempts', '0'],
    ['swarm_upload_limit', '10X'],
    ['swarm_mode', 'sometimes'],
    ['api_url', 'ftp://a'],
    ['ironic_api_version', '1'],
    ['run_dir', ''],
  ])(
    '%s refuses "%s" and says which option, where, what it was and what is allowed',
    (name, text) => {
      const refuse = () => parse(name, text)
      expect(refuse).toThrow(/^Invalid configuration: /)
      expect(refuse).toThrow(`option ${name} is ${JSON.stringify(text)} in here; allowed: `)
    },
  )

  test('the kernel line knows no wrong boolean: what is not true is false', () => {
    expect(parse('insecure', 'perhaps', true)).toBe(false)
  })
})
