import { describe, expect, test } from 'vitest'
import {
  type ConfigTree,
  type LoadRequest,
  loadConfig,
  OPTION_NAMES,
} from '../../../agent/config/load.ts'
import { rowOf } from '../../../agent/config/option-value.ts'
import { createRoot } from '../../../agent/system/root.ts'

type Files = Readonly<Record<string, string>>

/** A file tree in memory at any prefix: the injected edge to the operating system. */
function treeOf(files: Files) {
  return (prefix: string): ConfigTree => {
    const full = (path: string) => (prefix === '/' ? path : `${prefix}${path}`)
    return {
      readText: async (path) => files[full(path)],
      list: async (path) =>
        Object.keys(files)
          .filter((file) => file.startsWith(`${full(path)}/`))
          .map((file) => file.slice(full(path).length + 1)),
    }
  }
}

const load = (files: Files, request: Partial<LoadRequest> = {}) =>
  loadConfig({ env: {}, openTree: treeOf(files), ...request })

const MAIN_FILE = '/etc/ironic-python-agent.conf'

describe('loadConfig', () => {
  test('without anything every option has its default, and the result is frozen', async () => {
    const { config, origins, warnings } = await load({})
    expect(config.listen_port).toBe(9999)
    expect(config.api_url).toEqual([])
    expect(origins.listen_port).toBe('default')
    expect(warnings).toEqual([])
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('each place beats the one before it, and the origin names the winner', async () => {
    const places: [origin: string, files: Files, request: Partial<LoadRequest>][] = [
      ['kernel command line (ipa-lookup-timeout)', { '/proc/cmdline': 'ipa-lookup-timeout=1' }, {}],
      [
        'virtual media (ipa-lookup-timeout)',
        { '/proc/cmdline': 'ipa-lookup-timeout=1 boot_method=vmedia' },
        { virtualMedia: () => floppyWith('ipa-lookup-timeout=2') },
      ],
      [`${MAIN_FILE} [DEFAULT]`, { [MAIN_FILE]: 'lookup_timeout = 3' }, {}],
      [
        '/etc/ironic-python-agent.d/b.conf [DEFAULT]',
        {
          '/etc/ironic-python-agent.d/b.conf': 'lookup_timeout = 4',
          '/etc/ironic-python-agent.d/a.conf': 'lookup_timeout = 99',
          '/etc/ironic-python-agent.d/c.txt': 'lookup_timeout = 99',
        },
        {},
      ],
      ['environment IRONSWARM_LOOKUP_TIMEOUT', {}, { env: { IRONSWARM_LOOKUP_TIMEOUT: '5' } }],
      ['--lookup-timeout', {}, { argvFlags: { lookup_timeout: '6' } }],
    ]
    let files: Files = {}
    let request: Partial<LoadRequest> = {}
    for (const [index, [origin, moreFiles, more]] of places.entries()) {
      files = { ...files, ...moreFiles }
      request = { ...request, ...more }
      const { config, origins } = await load(files, request)
      expect(config.lookup_timeout).toBe(index + 1)
      expect(origins.lookup_timeout).toBe(origin)
    }
  })

  test('ipa-debug on the kernel line beats even flags', async () => {
    const { config, origins } = await load(
      { '/proc/cmdline': 'ipa-debug=1', [MAIN_FILE]: 'debug = false' },
      { argvFlags: { debug: 'false' } },
    )
    expect(config.debug).toBe(true)
    expect(origins.debug).toBe('kernel command line (ipa-debug)')
  })

  test('a file that is named replaces the default files, not the default directory', async () => {
    const { config } = await load(
      {
        [MAIN_FILE]: 'lookup_timeout = 1',
        '/etc/ironic-python-agent.d/a.conf': 'lookup_interval = 2',
        '/tmp/own.conf': 'http_request_timeout = 3',
      },
      { configFiles: ['/tmp/own.conf'] },
    )
    expect([config.lookup_timeout, config.lookup_interval, config.http_request_timeout]).toEqual([
      600, 2, 3,
    ])
  })

  test('os_root moves kernel line and default files, not the files a person named', async () => {
    const { config } = await load(
      {
        '/proc/cmdline': 'ipa-lookup-timeout=1',
        '/lab/proc/cmdline': 'ipa-lookup-timeout=2',
        '/lab/etc/ironic-python-agent.d/a.conf': 'lookup_interval = 3',
        '/tmp/own.conf': 'os_root = /lab',
      },
      { configFiles: ['/tmp/own.conf'] },
    )
    expect([config.os_root, config.lookup_timeout, config.lookup_interval]).toEqual(['/lab', 2, 3])
  })

  test('a named file that is not there is an error', async () => {
    await expect(load({}, { configFiles: ['/nowhere'] })).rejects.toThrow('cannot read /nowhere')
  })

  test('a named file without end is an error', async () => {
    const request = { openTree: createRoot, configFiles: ['/dev/zero'] }
    await expect(load({}, request)).rejects.toMatchObject({
      type: 'InvalidConfigError',
      details: expect.stringContaining('/dev/zero is too long to be a file of settings'),
    })
  })

  test('unknown ipa-* parameters give one warning and nothing fails', async () => {
    const { warnings } = await load({ '/proc/cmdline': 'ipa-a=1 ipa-b=2 other=3' })
    expect(warnings).toEqual(['kernel parameters that ironswarm does not know: ipa-a, ipa-b'])
  })

  test('an option of IPA that nothing acts on gives a warning', async () => {
    const { warnings } = await load({ '/proc/cmdline': 'ipa-agent-token-required=true' })
    expect(warnings).toEqual([
      'option agent_token_required (kernel command line (ipa-agent-token-required)) has no effect in this version',
    ])
  })

  test('unknown keys of a file and unknown IRONSWARM_ variables give a warning each', async () => {
    const { warnings } = await load(
      { [MAIN_FILE]: '[metrics]\nfrontend = statsd\n[DEFAULT]\nwibble = 1' },
      { env: { IRONSWARM_WIBBLE: '1', HOME: '/root' } },
    )
    expect(warnings).toEqual([
      'environment variables that ironswarm does not know: IRONSWARM_WIBBLE',
      `options without effect in ${MAIN_FILE}: [metrics] frontend, [DEFAULT] wibble`,
    ])
  })

  test('an invalid value names option, place and value', async () => {
    await expect(load({ [MAIN_FILE]: 'listen_port = many' })).rejects.toThrow(
      `option listen_port is "many" in ${MAIN_FILE} [DEFAULT]; allowed: a whole number 0–65535`,
    )
  })

  test('an invalid value that a higher place overrides stops nothing', async () => {
    const { config } = await load(
      { '/proc/cmdline': 'ipa-listen-port=many' },
      { argvFlags: { listen_port: '1' } },
    )
    expect(config.listen_port).toBe(1)
  })

  test('a broken line is named without the rest of it, which may be a secret', async () => {
    const attempt = load({ [MAIN_FILE]: '\nimage_server_password s3cret\n' })
    await expect(attempt).rejects.toThrow(`${MAIN_FILE} line 2`)
    await expect(attempt).rejects.not.toThrow('s3cret')
  })

  test('an empty kernel parameter is none: a template left it', async () => {
    const { config } = await load({ '/proc/cmdline': 'ipa-lookup-timeout= BOOTIF=' })
    expect([config.lookup_timeout, config.bootif]).toEqual([600, null])
  })

  test.each([
    ...['01-52-54-00-AA-00-01', '52:54:00:00:00:01', '52-54-00-00-00-01', '20-52-54-00-00-00-01'],
    ...['eth0', '1-2-3-4-5-6-7-8'],
  ])('BOOTIF=%s stays as it was given: Ironic reads every spelling', async (bootif) => {
    const { config } = await load({ '/proc/cmdline': `BOOTIF=${bootif}` })
    expect(config.bootif).toBe(bootif)
  })

  test('names of old sections are taken, and sections in capitals', async () => {
    const { config } = await load({
      [MAIN_FILE]: '[ssl]\ncert_file = /a.pem\n[MDNS]\nuse_mdns = 1',
    })
    expect(config.tls_cert_file).toBe('/a.pem')
    expect(config.use_mdns).toBe(true)
  })

  test('a name with dashes is no option in a file, and the warning names it', async () => {
    const { config, warnings } = await load({ [MAIN_FILE]: 'guard-special-filesystems = no' })
    expect(config.guard_special_filesystems).toBe(true)
    expect(warnings).toEqual([
      `options without effect in ${MAIN_FILE}: [DEFAULT] guard-special-filesystems (names have underscores)`,
    ])
  })

  test('a file that ironic-python-agent does not read is not read, and that is said', async () => {
    const path = '/etc/ironic-python-agent/ironic-python-agent.conf'
    const files = { [path]: 'listen_port = 1' }
    const { config, warnings } = await load(files)
    expect(config.listen_port).toBe(9999)
    expect(warnings).toEqual([expect.stringContaining(`${path} is not read`)])
    const named = await load(files, { configFiles: [path] })
    expect(named.config.listen_port).toBe(1)
    expect(named.warnings).toEqual([])
  })

  describe('a boolean of the kernel line that is none', () => {
    const BOOLEANS = OPTION_NAMES.filter((name) => rowOf(name).type === 'bool' && rowOf(name).karg)
    test.each(BOOLEANS.filter((name) => name !== 'debug'))('is refused: %s', async (name) => {
      const { karg } = rowOf(name)
      for (const word of ['maybe', '2', 'fals', 'no!', 'none', '"no"']) {
        await expect(load({ '/proc/cmdline': `${karg}=${word}` })).rejects.toThrow(
          `option ${name} is ${JSON.stringify(word)} in kernel command line (${karg}); allowed: true, yes, on, 1 or false, no, off, 0`,
        )
      }
      for (const word of ['1', 'Yes', 'TRUE', 'on']) {
        expect((await load({ '/proc/cmdline': `${karg}=${word}` })).config[name]).toBe(true)
      }
      for (const word of ['0', 'No', 'FALSE', 'off']) {
        expect((await load({ '/proc/cmdline': `${karg}=${word}` })).config[name]).toBe(false)
      }
    })

    test('is false for ipa-debug alone, as IPA has it', async () => {
      expect((await load({ '/proc/cmdline': 'ipa-debug=maybe' })).config.debug).toBe(false)
      await expect(load({ [MAIN_FILE]: 'debug = maybe' })).rejects.toThrow('option debug')
    })

    test('is refused on virtual media too', async () => {
      const attempt = load(
        { '/proc/cmdline': 'boot_method=vmedia' },
        { virtualMedia: () => floppyWith('ipa-guard-special-filesystems=flase') },
      )
      await expect(attempt).rejects.toThrow('virtual media (ipa-guard-special-filesystems)')
    })
  })

  describe('a reference in a file', () => {
    test('takes the value that wins, wherever it stands', async () => {
      const { config } = await load(
        { [MAIN_FILE]: 'cafile = /etc/$advertise_host/ca.pem\nadvertise_host = a' },
        { argvFlags: { advertise_host: 'b' } },
      )
      expect(config.cafile).toBe('/etc/b/ca.pem')
    })

    test('to no option is refused without the secret around it', async () => {
      const attempt = load({ [MAIN_FILE]: 'image_server_password = s3c$ret' })
      await expect(attempt).rejects.toThrow('option image_server_password')
      await expect(attempt).rejects.toThrow('$$ for a dollar sign')
      await expect(attempt).rejects.not.toThrow(/s3c|ret;/)
    })

    test('that leads back to itself is refused, over however many options', async () => {
      const round = 'cafile = $certfile\ncertfile = $keyfile\nkeyfile = $cafile'
      await expect(load({ [MAIN_FILE]: round })).rejects.toThrow('leads back')
    })

    test('is none in flags, environment and kernel line', async () => {
      const { config } = await load(
        { '/proc/cmdline': 'ipa-advertise-host=$x' },
        { argvFlags: { cafile: '$y' }, env: { IRONSWARM_KEYFILE: '$$' } },
      )
      expect([config.advertise_host, config.cafile, config.keyfile]).toEqual(['$x', '$y', '$$'])
    })
  })
})

function floppyWith(text: string) {
  return {
    devices: async () => [{ path: '/dev/sdf', label: 'IR-VFD-DEV', model: null }],
    chain: async () => [{ type: 'disk', transport: 'usb', sizeBytes: 102_400 }],
    readFile: async () => text,
  }
}
