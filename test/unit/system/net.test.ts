import { describe, expect, test } from 'vitest'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { parseRouteSource, sourceAddress } from '../../../agent/system/net.ts'

const answering =
  (stdout: string, exitCode = 0): Exec =>
  async () => ({ stdout, stderr: '', exitCode })

describe('the source address towards a host', () => {
  test('is what the route says, IPv4 and IPv6', async () => {
    const v4 = '[{"dst":"192.0.2.1","dev":"eth0","prefsrc":"192.0.2.2","flags":[]}]'
    const v6 = '[{"dst":"2001:db8::1","from":"::","dev":"eth0","prefsrc":"2001:db8::2"}]'
    expect(await sourceAddress(answering(v4), '192.0.2.1')).toBe('192.0.2.2')
    expect(await sourceAddress(answering(v6), '2001:db8::1')).toBe('2001:db8::2')
  })

  test.each([
    ['192.0.2.1', '169.254.7.9'],
    ['2001:db8::1', 'fe80::1'],
    ['2001:db8::1', 'FEBF::1'],
  ])('towards %s is never the link-local %s', async (host, source) => {
    expect(
      await sourceAddress(answering(JSON.stringify([{ prefsrc: source }])), host),
    ).toBeUndefined()
  })

  test('is undefined without a route', async () => {
    expect(await sourceAddress(answering('', 2), '192.0.2.1')).toBeUndefined()
  })

  test.each(['-h', 'ironic.example', '', '192.0.2.1; reboot', 'fe80::1'])(
    'does not ask the kernel about %j',
    async (host) => {
      const forbidden: Exec = () => Promise.reject(new Error('ip was run'))
      expect(await sourceAddress(forbidden, host)).toBeUndefined()
    },
  )

  test.each(['', 'null', '{}', '[]', '[{"prefsrc":5}]', '[{"prefsrc":"x"}]', '[null]'])(
    '%j holds none',
    (text) => {
      expect(parseRouteSource(text)).toBeUndefined()
    },
  )

  test('towards loopback is loopback, asked of this machine', async (context) => {
    const hasIp = await exec(['ip', '-V']).then(
      () => true,
      () => false,
    )
    if (!hasIp) context.skip('iproute2 is not installed')
    expect(await sourceAddress(exec, '127.0.0.1')).toBe('127.0.0.1')
  })
})
