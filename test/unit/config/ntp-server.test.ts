// CVE-2026-66138: what is set as NTP server becomes a word of a command and of a directive.
import { describe, expect, test } from 'vitest'
import { parseOption } from '../../../agent/config/option-value.ts'

const parsed = (text: string) => parseOption('ntp_server', { text, origin: 'kernel command line' })

describe('the option ntp_server', () => {
  test.each([
    'ntp',
    'ntp.example.com',
    'ntp.example.com.',
    '0.debian.pool.ntp.org',
    'time_1.lab',
    '192.0.2.1',
    '2001:db8::123',
    '::ffff:192.0.2.1',
    'xn--bcher-kva.example',
  ])('takes %s', (server) => {
    expect(parsed(server)).toBe(server)
  })

  test.each([
    ['an option', '-q'],
    ['a long option', '--help'],
    ['a second directive', 'ntp.example.com\nmailonchange root@x 0.1'],
    ['a directive behind a space', 'ntp.example.com iburst'],
    ['a command', 'ntp.example.com;reboot'],
    ['a command substituted', '$(reboot)'],
    ['a command between ticks', '`reboot`'],
    ['a quote', "ntp'"],
    ['a comment', 'ntp#'],
    ['a path', '../../etc/passwd'],
    ['a url', 'ntp://ntp.example.com'],
    ['brackets', '[2001:db8::123]'],
    ['a zone', 'fe80::1%eth0'],
    ['two dots', 'ntp..example.com'],
    ['a first dot', '.example.com'],
    ['a label that begins like an option', 'ntp.-example.com'],
    ['254 characters', 'n'.repeat(254)],
    ['letters beyond ASCII', 'ntp.bücher.example'],
  ])('refuses %s and says what is wanted', (_what, server) => {
    expect(() => parsed(server)).toThrow(/ntp_server.*a host name or an IP address/s)
  })

  test('takes no long time over what is nearly a name', () => {
    expect(() => parsed(`${'a-'.repeat(126)}!`)).toThrow('ntp_server')
  })
})
