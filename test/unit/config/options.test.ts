import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rowOf } from '../../../agent/config/option-value.ts'
import { OPTIONS, type OptionName } from '../../../agent/config/options.ts'

const NAMES = Object.keys(OPTIONS) as OptionName[]

/** What may act on an option. The lookup also names some that it only sets: of it only reads count. */
const users = ['agent', 'extensions']
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  )
  .filter((path) => path.endsWith('.ts'))
  .filter((path) => !path.startsWith('agent/config/') || path === 'agent/config/load.ts')
  .map((path) => {
    const text = readFileSync(path, 'utf8')
    const isLookup = path === 'agent/ironic/lookup.ts'
    return isLookup ? (text.match(/\bconfig\.\w+/g) ?? []).join('\n') : text
  })
  .join('\n')

/** Read is: `config.name`, or taken out of it. To be named, in a type or in a list, is not to be read. */
function isRead(name: string): boolean {
  const taken = new RegExp(
    `\\{[^{}]*\\b${name}\\b[^{}]*\\} = (?:\\w+\\.)*(?:config|settings|options)\\b`,
  )
  return (
    new RegExp(`\\.${name}\\b|get\\('${name}'\\)|\\['${name}'\\]`).test(users) || taken.test(users)
  )
}

describe('the option table', () => {
  test('every option is read somewhere, or says that it has no effect', () => {
    expect(NAMES.filter((name) => isRead(name) === (rowOf(name).noEffect === true))).toEqual([])
  })

  test('every setting of the answer to the lookup is an option', () => {
    const lookup = readFileSync('agent/ironic/lookup.ts', 'utf8')
    const [, fields = ''] = /interface LookupOverrides [^{]*\{([^}]*)\}/.exec(lookup) ?? []
    const names = [...fields.matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name as string)
    expect(names.length).toBeGreaterThan(5)
    expect(names.filter((name) => !Object.hasOwn(OPTIONS, name))).toEqual([])
  })

  test('no kernel parameter stands for two options', () => {
    const kargs = NAMES.flatMap((name) => rowOf(name).karg ?? [])
    expect(kargs).toEqual([...new Set(kargs)])
  })

  test('defaults are allowed values', () => {
    for (const name of NAMES) {
      const { default: value, values, min, max } = rowOf(name)
      if (values) expect([name, values.includes(value as string)]).toEqual([name, true])
      if (typeof value === 'number') {
        expect([name, value >= (min ?? value) && value <= (max ?? value)]).toEqual([name, true])
      }
    }
  })

  test('knows every kernel parameter of ironic-python-agent', () => {
    // contract 1.2
    const names = `api-url global-request-id listen-host listen-port advertise-host advertise-port
      advertise-protocol ip-lookup-attempts ip-lookup-timeout network-interface lookup-timeout
      lookup-interval lldp-timeout collect-lldp inspection-callback-url inspection-collectors
      inspection-dhcp-wait-timeout inspection-dhcp-all-interfaces inspection-benchmarks
      hardware-initialization-delay disk-wait-attempts disk-wait-delay insecure ntp-server agent-token
      image-download-connection-timeout image-download-connection-retries
      image-download-connection-retry-interval image-download-max-duration ironic-api-version
      enable-vlan-interfaces ignore-bootloader-failure inject-files-priority
      guard-special-filesystems http-request-timeout tls-min-version tls-cipher-suites
      tls-certificate-curve use-mdns debug agent-token-required`.split(/\s+/)
    const known = new Set(NAMES.map((name) => rowOf(name).karg))
    expect(names.filter((name) => !known.has(`ipa-${name}`))).toEqual([])
    expect(known.has('BOOTIF')).toBe(true)
  })
})
