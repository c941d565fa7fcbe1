import { rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import {
  type AddressOptions,
  callbackUrl,
  findAdvertisedAddress,
} from '../../../agent/ironic/address.ts'
import { exec } from '../../../agent/system/exec.ts'
import { silentLog, temporaryDirectory } from '../../support/agent-in-process.ts'

const directory = await temporaryDirectory()
afterAll(() => directory[Symbol.asyncDispose]())
afterEach(() => rmSync(join(directory.path, 'run'), { recursive: true, force: true }))

const CONFIG = {
  run_dir: join(directory.path, 'run'),
  advertise_host: null,
  network_interface: null,
  ip_lookup_attempts: 2,
  ip_lookup_sleep: 10,
}

/** The address towards these URLs, of which those in `down` do not answer. */
function find(urls: readonly string[], more: Partial<AddressOptions> = {}, down: string[] = []) {
  return findAdvertisedAddress({
    config: CONFIG,
    client: { urls: () => urls, answers: async (url) => !down.includes(url) },
    exec,
    log: silentLog,
    wait: async () => undefined,
    ...more,
  })
}

describe('the advertised address', () => {
  test('is what is configured, without brackets', async () => {
    const configured = (advertise_host: string) =>
      find([], { config: { ...CONFIG, advertise_host } })
    expect(await configured('192.0.2.7')).toBe('192.0.2.7')
    expect(await configured('[2001:db8::7]')).toBe('2001:db8::7')
  })

  test.each([
    ['http://127.0.0.1:6385', '127.0.0.1'],
    ['http://[::1]:6385', '::1'],
    ['http://localhost:6385', expect.stringMatching(/^(127\.0\.0\.1|::1)$/)],
  ])('towards %s is the source of the route there', async (url, expected) => {
    expect(await find([url])).toEqual(expected)
  })

  test('is looked for towards URLs that answer, the others are left out', async () => {
    const urls = ['http://127.0.0.1:1', 'http://[::1]:1']
    expect(await find(urls, {}, ['http://127.0.0.1:1'])).toBe('::1')
  })

  test('stays the same for the boot, whatever the routes say later, while the machine has it', async () => {
    expect(await find(['http://[::1]:1'])).toBe('::1')
    expect(await find(['http://127.0.0.1:1'])).toBe('::1')
    writeFileSync(join(CONFIG.run_dir, 'advertised-address'), '192.0.2.254')
    expect(await find(['http://127.0.0.1:1'])).toBe('127.0.0.1')
  })

  test('is an error that says what to set, after as many rounds as configured', async () => {
    const waits: number[] = []
    const failing = find(['http://name.invalid:1'], {
      wait: async (ms) => {
        waits.push(ms)
      },
    })
    await expect(failing).rejects.toMatchObject({ type: 'LookupAgentIPError' })
    await expect(failing).rejects.toThrow(/after 2 rounds.*set ipa-advertise-host/)
    expect(waits).toEqual([10_000])
  })

  test('is the IPv4 address of the interface that is named', async () => {
    const named = (network_interface: string) =>
      find([], { config: { ...CONFIG, network_interface } })
    const loopback = networkInterfaces()['lo']?.find(({ family }) => family === 'IPv4')
    expect(await named('lo')).toBe(loopback?.address)
    await expect(named('nosuch0')).rejects.toMatchObject({ type: 'LookupAgentIPError' })
  })
})

test('callback_url has no slash at the end and IPv6 in brackets', () => {
  expect(callbackUrl('https', '2001:db8::7', 9999)).toBe('https://[2001:db8::7]:9999')
  expect(callbackUrl('http', '192.0.2.7', 80)).toBe('http://192.0.2.7:80')
  expect(callbackUrl('http', 'agent.example', 1)).toBe('http://agent.example:1')
})
