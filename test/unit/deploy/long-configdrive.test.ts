import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { parseWriteRequest } from '../../../agent/deploy/write-request.ts'
import { decodeConfigDrive, loadWhole } from '../../../agent/disk/configdrive/decode.ts'

const INFO = {
  id: 'x',
  urls: ['http://192.0.2.1/x'],
  disk_format: 'raw',
  os_hash_algo: 'sha256',
  os_hash_value: 'a'.repeat(64),
}

test.each([
  ['the argument', (text: Buffer) => parse(INFO, text)],
  ['image_info', (text: Buffer) => parse({ ...INFO, configdrive: text }, null)],
])('a config drive that came as bytes is taken from %s', (_what, parsed) => {
  const text = Buffer.from('H4sI')
  expect(parsed(text).configdrive).toBe(text)
})

test('a config drive that came as bytes is decoded like a string', async () => {
  const text = gzipSync('a file system').toString('base64')
  const refuse = async () => Promise.reject(new Error('fetched'))
  const [fromBytes, fromString] = await Promise.all([
    decodeConfigDrive(Buffer.from(text), refuse),
    decodeConfigDrive(text, refuse),
  ])
  expect(await loadWhole(fromBytes)).toEqual(await loadWhole(fromString))
  expect(Buffer.from(await loadWhole(fromBytes)).toString()).toBe('a file system')
})

function parse(info: object, configdrive: unknown) {
  return parseWriteRequest(info, configdrive, {
    md5_enabled: false,
    swarm_mode: 'off',
  } as Parameters<typeof parseWriteRequest>[2])
}
