import { expect, test } from 'vitest'
import { mdnsOverrides } from '../../../agent/config/mdns-overrides.ts'

const DEFAULT = ['inspection_callback_url', 'ntp_server']
const overrides = (properties: Record<string, string>, allowed = DEFAULT) =>
  mdnsOverrides(new Map(Object.entries(properties)), allowed)

test('an answer by mDNS sets what is allowed, of the type that the option has', () => {
  const { values, warnings } = overrides(
    { ipa_ntp_server: 'ntp.example', ipa_lookup_timeout: '7', ipa_insecure: 'true' },
    ['ntp_server', 'lookup_timeout', 'insecure'],
  )
  expect(values).toEqual({ ntp_server: 'ntp.example', lookup_timeout: 7, insecure: true })
  expect(warnings).toEqual([])
})

test.each([
  [{ ipa_insecure: 'true' }, DEFAULT, /insecure, which is not among allowed_overrides/],
  [{ ipa_ntp_server: '-x /etc/passwd' }, DEFAULT, /option ntp_server is .* in mDNS; allowed/],
  [{ ntp_server: 'ntp.example' }, DEFAULT, /"ntp_server", which is no option that it could set/],
  [{ ipa_wibble: '1' }, ['wibble'], /"ipa_wibble", which is no option/],
  // it could allow itself the rest
  [{ ipa_mdns_allowed_overrides: 'insecure' }, ['mdns_allowed_overrides'], /is no option that/],
  [{ ipa___proto__: '1' }, ['__proto__'], /is no option that/],
])('and nothing else: %j with %j', (properties, allowed, words) => {
  const { values, warnings } = overrides(properties as Record<string, string>, allowed)
  expect(values).toEqual({})
  expect(warnings).toEqual([expect.stringMatching(words)])
})

test('an empty list allows nothing', () => {
  expect(overrides({ ipa_ntp_server: 'ntp.example' }, []).values).toEqual({})
})
