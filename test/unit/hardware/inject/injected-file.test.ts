import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import { parseInjectedFiles } from '../../../../agent/hardware/inject/injected-file.ts'

const NODE = { uuid: 'abc', extra: { rack: 7 }, properties: {} }
const PORTS = [{ address: '52:54:00:00:00:01' }]
const parse = (...files: unknown[]) => parseInjectedFiles(NODE, PORTS, files)
const HELLO = { path: '/etc/motd', content: 'aGVsbG8=' }

describe('files to inject', () => {
  test('are those of the node, then those of the step', () => {
    const node = { properties: { inject_files: [{ ...HELLO, path: '/etc/first' }] } }
    expect(parseInjectedFiles(node, [], [HELLO]).map(({ path }) => path)).toEqual([
      '/etc/first',
      '/etc/motd',
    ])
    expect(parseInjectedFiles({}, [], undefined)).toEqual([])
  })

  test('have content, numbers and a partition, as ironic-python-agent names them', () => {
    const all = { ...HELLO, partition: '3', mode: 0o600, dirmode: 0o700, owner: 0, group: 5 }
    expect(parse(all)).toEqual([
      {
        path: '/etc/motd',
        partition: 3,
        content: { bytes: Buffer.from('hello') },
        ...{ mode: 0o600, dirMode: 0o700, owner: 0, group: 5 },
      },
    ])
    expect(parse({ path: '/x', partition: '/dev/sda1', deleted: true })).toMatchObject([
      { partition: '/dev/sda1', content: null },
    ])
  })

  test('name node and ports in their urls', () => {
    const content = 'http://192.0.2.1/{node[uuid]}/{ports[0][address]}/{node[extra][rack]}/{{x}}'
    expect(parse({ ...HELLO, content })).toMatchObject([
      { content: { url: 'http://192.0.2.1/abc/52:54:00:00:00:01/7/{x}' } },
    ])
  })

  test.each<[string, object | string, string]>([
    ['no object', 'motd', 'it is no object'],
    ['no path', { content: '' }, 'absolute path'],
    ['a relative path', { ...HELLO, path: 'etc/motd' }, 'absolute path'],
    ['a path with a NUL', { ...HELLO, path: '/etc/a\0b' }, 'absolute path'],
    ['a path upwards', { ...HELLO, path: '/etc/../root/x' }, 'has . or .. in it'],
    ['a folder', { ...HELLO, path: '/etc/' }, 'is a folder'],
    ['a file in the root without a partition', { ...HELLO, path: '/motd' }, 'needs a partition'],
    ['a partition 0', { ...HELLO, partition: 0 }, 'partition must be'],
    ['no content', { path: '/etc/motd' }, 'content must be'],
    ['content that is no base64', { ...HELLO, content: '§' }, 'content must be'],
    ['content and deleted', { ...HELLO, deleted: true }, 'exclude each other'],
    ['a mode in words', { ...HELLO, mode: '0644' }, 'mode must be a number'],
    ['a mode that is none', { ...HELLO, mode: 0o10000 }, 'mode must be a number'],
    ['an owner by name', { ...HELLO, owner: 'root' }, 'owner must be a number'],
    ['an unknown field', { ...HELLO, acl: 'x' }, 'unknown fields acl'],
    ['a url of what the node has not', { ...HELLO, content: 'http://{node[x]}' }, '{node[x]}'],
    ['a url of all of the node', { ...HELLO, content: 'http://{node}' }, '{node}'],
    ['a url of an inherited name', { ...HELLO, content: 'http://{node[constructor]}' }, '{node['],
  ])('are refused with %s', (_, file, details) => {
    expect(() => parse(file)).toThrow(details)
  })

  test('that are no list are refused, and content is not quoted', () => {
    expect(() => parseInjectedFiles({}, [], 'x')).toThrow('must be a list')
    expect(() => parse({ ...HELLO, content: 'geheim!§' })).not.toThrow('geheim')
  })

  test('never end in anything but a value or a refusal', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        try {
          for (const { path } of parse(value)) expect(path.startsWith('/')).toBe(true)
        } catch (error) {
          expect(isAgentError(error, 'InvalidCommandParamsError')).toBe(true)
        }
      }),
    )
  })
})
