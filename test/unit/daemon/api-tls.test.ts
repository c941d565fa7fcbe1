import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Config, OPTIONS } from '../../../agent/config/options.ts'
import { chooseTls } from '../../../agent/daemon/api-tls.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { temporaryDirectory } from '../../support/agent-in-process.ts'

const defaults = Object.fromEntries(
  Object.entries(OPTIONS).map(([name, row]) => [name, row.default]),
) as unknown as Config

const choose = (config: Partial<Config>) =>
  chooseTls({
    config: { ...defaults, ...config },
    reader: undefined,
    hardware: { dispatch: () => Promise.reject(new Error('nobody is asked')) },
    log: createLogger({ level: 'silent' }),
    signal: new AbortController().signal,
    now: Date.now,
  })

test("the operator's certificate is served, and Ironic is not told to trust it", async () => {
  await using folder = await temporaryDirectory()
  const [certFile, keyFile] = ['cert.pem', 'key.pem'].map((name) => join(folder.path, name))
  for (const file of [certFile, keyFile]) writeFileSync(file as string, `text of ${file}`)
  const files = { tls_cert_file: certFile as string, tls_key_file: keyFile as string }
  expect(
    await choose({
      listen_tls: true,
      tls_min_version: '1.3',
      tls_cipher_suites: 'ECDHE-RSA-AES256-GCM-SHA384',
      ...files,
    }),
  ).toEqual({
    api: {
      cert: `text of ${certFile}`,
      key: `text of ${keyFile}`,
      minVersion: '1.3',
      cipherSuites: 'ECDHE-RSA-AES256-GCM-SHA384',
    },
  })
})

test.each([
  ['no key is named', { tls_cert_file: '/cert.pem', tls_key_file: null }, /tls_key_file/],
  [
    'a file is not there',
    { tls_cert_file: '/nowhere/cert.pem', tls_key_file: '/nowhere/key.pem' },
    /tls_cert_file: ENOENT.*\/nowhere\/cert\.pem/,
  ],
])('listen_tls is refused where %s', async (_what, files, words) => {
  await expect(choose({ listen_tls: true, ...files })).rejects.toMatchObject({
    type: 'InvalidConfigError',
    details: expect.stringMatching(words),
  })
})

test('without an Ironic to tell of it there is no certificate of our own', async () => {
  expect(await choose({ enable_auto_tls: true })).toBeUndefined()
})
