import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  MAX_TEXT_CHARS,
  redact,
  redactBounded,
  redactText,
  redactUrl,
} from '../../../agent/core/redact.ts'
import {
  comparableName,
  isSecretParameter,
  secretHeaderOf,
} from '../../../agent/core/redaction/secret-names.ts'
import { SECRET, SECRET_FORMS, secretsIn } from '../../support/secrets.ts'

const FORMS = Object.entries(SECRET_FORMS)

describe('redactText strikes out', () => {
  test.each(FORMS)('%s', (_name, text) => {
    expect(secretsIn(text)).not.toEqual([])
    expect(secretsIn(redactText(text))).toEqual([])
    expect(redactText(text)).toContain('***')
  })

  test.each(FORMS)(
    '%s as text inside of JSON, once and twice, and inside of a query',
    (_name, text) => {
      for (const wrapped of [
        JSON.stringify({ message: text }),
        JSON.stringify(JSON.stringify({ message: text })),
        JSON.stringify(`one\n${text}\r\ntwo`),
        JSON.stringify(JSON.stringify(`one\t${text}\n`)),
        `failed: ${text} (status 403)`,
        `one\n${text}\ntwo`,
        `${text}: 3 attempts`,
        `GET /x?y=${encodeURIComponent(text)} failed`,
        encodeURIComponent(encodeURIComponent(text)),
      ]) {
        expect(secretsIn(redactText(wrapped))).toEqual([])
      }
    },
  )

  test('every form in a line behind every other, as text inside of JSON', () => {
    const whole = FORMS.filter(([name]) => !name.endsWith('cut off'))
    for (const [, first] of whole) {
      for (const [, second] of whole) {
        expect(secretsIn(redactText(JSON.stringify(`${first}\n${second}`)))).toEqual([])
      }
    }
  })

  test('what it has struck out is left as it is the second time', () => {
    for (const [, text] of FORMS) expect(redactText(redactText(text))).toBe(redactText(text))
  })

  test('every form beside every other', () => {
    // what is cut off takes what follows for its rest
    const whole = FORMS.filter(([name]) => !name.endsWith('cut off'))
    fc.assert(
      fc.property(fc.shuffledSubarray(whole, { minLength: 1 }), (forms) => {
        const text = forms.map(([, form]) => form).join(' and ')
        expect(secretsIn(redactText(text))).toEqual([])
      }),
    )
  })
})

describe('JSON in a url', () => {
  const word = fc.stringMatching(/^[a-z ,;:{}[\]"'\\=&?%+]{0,6}$/)
  const value = fc.tuple(word, word).map(([before, after]) => before + SECRET + after)
  const key = fc.constantFrom(
    ...['password', 'agent_token', 'X-Auth-Token', 'configdrive', 'authorization', 'user_data'],
  )
  const holder = fc.tuple(
    key,
    fc.oneof(
      value,
      fc.array(value, { minLength: 1, maxLength: 2 }),
      value.map((a) => ({ a })),
    ),
  )
  const document = fc
    .tuple(fc.dictionary(fc.constantFrom('a', 'name', 'url'), word), holder, fc.boolean())
    .map(([others, [name, secret], isNested]) =>
      isNested ? { ...others, x: { [name]: secret } } : { [name]: secret, ...others },
    )
  const ENCODINGS: Readonly<Record<string, (json: string) => string>> = {
    'as it is': (json) => json,
    'percent-encoded': encodeURIComponent,
    'percent-encoded twice': (json) => encodeURIComponent(encodeURIComponent(json)),
    'encoded as a url': encodeURI,
    'encoded as a form': (json) => new URLSearchParams({ q: json }).toString(),
    'encoded by the parser of urls': (json) => new URL(`http://h/?${json}`).search,
    'with quotes alone encoded': (json) => json.replaceAll('"', '%22'),
    'as a text of JSON': (json) => JSON.stringify(json),
  }

  test.each(Object.entries(ENCODINGS))('%s shows no secret', (_name, encode) => {
    const before = fc.constantFrom('http://h/p?q=', 'http://h/p#', '/x/', 'GET /p?a=b&json=')
    fc.assert(
      fc.property(document, before, fc.constantFrom(0, 1), (json, start, indent) => {
        const text = start + encode(JSON.stringify(json, null, indent))
        expect(secretsIn(redactText(text))).toEqual([])
        expect(secretsIn(redactUrl(text))).toEqual([])
      }),
      { numRuns: 1000 },
    )
  })
})

describe('redactText keeps', () => {
  const PLAIN = [
    'api_url http://host:6385/v1?x=1 is not http(s)://host[:port]',
    'basic authentication failed, bearer authentication-failed',
    'invalid token: expected number; digest mismatch: sha256 of /dev/sda',
    'http://registry:5000/v2/image@sha256:9f86d081884c7d65',
    'docker://registry/image@sha256:9f86d081884c7d659a2feaa0c55ad015',
    'getty@tty1.service: started; user@1000.service',
    'https://host/img/logo@2x.png?v=1#top',
    'WWW-Authenticate: Bearer realm="x", Basic realm="y"',
    'PWD=/root OLDPWD=/home policy=standard signature=gpt key=value',
    'http://tracker:6969/announce udp://tracker.example:6969/announce',
    'write to someone@example.org about /dev/disk/by-path/pci-0000:00:1f.2-ata-1',
    'x-amz-request-id: 4442587FB7D0A2F9',
    'file:///etc/passwd: redirect to file: is not supported, /run/agent_token: no such file',
    'content: 5 MiB, configdrive: 3 MiB written, cookie monster',
    'open /run/agent_token: read-only file system, /etc/passwd: ENOENT: no such file, /a/cookie: it is a folder',
    'http://registry/v2/jwt:v1.24.300 registry:5000/token:2026-11-28',
    'run --user nobody -u root, curl --user-agent x:y -u: sort -u a:',
    'http://user-info.example: see a@b.example, http://host:port is what was set',
    'agent_token: null, password=, rescue_password: ***',
    'ETag "9f86d081884c7d659a2feaa0c55ad015" of https://host/a/b.raw, bytes 0-1023/4096',
  ]
  test.each(PLAIN)('%s', (text) => {
    expect(redactText(text)).toBe(text)
  })

  test('a UUID behind the word Basic, also one that is base64 of a pair', () => {
    const text =
      'Basic aa860000-0000-1000-8000-000000000000, Basic 00000000-3a3a-3a3a-3a3a-3a3a3a3a3a3a'
    expect(redactText(text)).toBe(text)
  })

  test('an IPv6 address behind the word cookie', () => {
    const text = 'cookie ::0:0:0:0:0.0.0.0'
    expect(redactText(text)).toBe(text)
  })

  test('any text made of ordinary words, numbers, addresses and paths', () => {
    const word = fc.oneof(
      fc.constantFrom(
        'piece',
        'sda',
        'token',
        'key',
        'the',
        'secret',
        'Basic',
        'Digest',
        'cookie',
        'auth',
      ),
      fc.stringMatching(/^[a-z]{1,12}$/),
      fc.nat().map(String),
      fc.ipV4(),
      fc.ipV6(),
      fc.uuid(),
      fc.constantFrom('/dev/disk/by-id/x', 'http://host:80/a/b?c=d&e=f', '5 MiB/s', 'a=b', 'x: y'),
    )
    fc.assert(
      fc.property(fc.array(word), fc.constantFrom(' ', ', ', '\n'), (words, between) => {
        const text = words.join(between)
        // `bearer` and `--token` with what follows are forms themselves
        expect(redactText(text)).toBe(text)
      }),
    )
  })

  test.each(['docs/how-it-works.md', 'docs/errors.md', 'docs/configuration.md', 'CHANGELOG.md'])(
    'all of %s',
    (path) => {
      const text = readFileSync(path, 'utf8')
      const changed = text.split('\n').filter((line) => redactText(line) !== line)
      expect(changed).toEqual([])
    },
  )
})

describe('redactText takes time that grows with the length of the text', () => {
  // 1 MiB in which each of the scans begins as often as it can; the square of that would not end
  const UNITS = [
    ...[
      'a-',
      'a-://',
      'http://',
      'http://a:b@',
      'a:b@',
      'a@h:1 ',
      '@',
      '%25',
      '%3D%3D',
      '%3A%2F%2F',
      '%22',
      '%22a%22%3A+',
    ],
    ...[
      '=',
      ':',
      '"',
      '\\',
      '\\"',
      '"password":"\\',
      'password=',
      'password="',
      'u0026',
      '[{',
      '"content":[{"',
    ],
    ...[
      'eyJ',
      'eyJ.',
      'gAAAAA',
      '--a',
      '--a ',
      '--password "',
      '"--password","',
      '-u a:b ',
      '-ua:b ',
      '-u "a:',
      '-u \\"a',
      '-uuuuuuuu',
      '"-u","',
      '--user x ',
      '"--user"\n',
      '/password: ',
      '/password: a1b2c3 ',
      '/authorization: x ',
      'https://a:p@s w@h ',
      'http://a:b c ',
      'http://a:b',
      "http://a:b'c@d ",
      '/announce',
      '%2Fannounce',
      'Basic ',
      'Bearer ',
      'Digest a="',
      'basic+',
      'a=digest ',
      'basic AAAA',
    ],
    ...[
      'Cookie: a=b;',
      'authorization: x ',
      'authorization: x a=',
      '-----BEGIN PRIVATE KEY-----',
      'bytes 0-',
      ' ',
    ],
  ]
  test.each(UNITS)('1 MiB of %j', { timeout: 60_000 }, (unit) => {
    const text = unit.repeat(Math.ceil((1024 * 1024) / unit.length))
    expect(redactText(text).length).toBeLessThanOrEqual(text.length * 3)
    const url = text.slice(0, 128 * 1024)
    expect(redactUrl(url).length).toBeLessThanOrEqual(url.length * 3)
  })
})

describe('redactUrl', () => {
  test.each([
    `http://user:pa ${SECRET}@h/x`,
    `user:${SECRET}@h/x`,
    `http://u"${SECRET}:@h/`,
    `https://u:<${SECRET}>@h`,
    `//user:${SECRET}@h/x`,
  ])('knows that all of %s is one url', (url) => expect(secretsIn(redactUrl(url))).toEqual([]))

  test('changes nothing else of a url', () => {
    fc.assert(
      fc.property(fc.webUrl({ withFragments: true }), (url) => {
        // by chance `#key=a` is a secret
        fc.pre(!hasSecretName(decodeURIComponent(url)))
        expect(redactUrl(url)).toBe(url)
      }),
    )
  })
})

function hasSecretName(url: string): boolean {
  const names = [...url.matchAll(/([\w.-]+)[=:]/g)].map(([, name = '']) => comparableName(name))
  return names.some((name) => isSecretParameter(name) || secretHeaderOf(name) !== undefined)
}

describe('redactBounded', () => {
  test('says how many bytes are missing', () => {
    expect(redactBounded('ä'.repeat(20), 10)).toBe(`${'ä'.repeat(10)}… 20 bytes cut`)
    expect(redactBounded('short', 10)).toBe('short')
  })

  test('leaves no half of a secret, wherever the cut falls', () => {
    for (const [, form] of FORMS) {
      const text = `${form} ${form} ${form}`
      for (let max = 1; max < text.length; max += 3) {
        const shown = redactBounded(text, max)
        expect(shown).not.toContain(SECRET.slice(0, 6))
      }
    }
  })

  test('is short however long the text is', () => {
    const long = `Content-Range: bytes 0-${'a-'.repeat(31_000)}`
    expect(redactBounded(long).length).toBeLessThan(MAX_TEXT_CHARS + 40)
  })
})

describe('redact', () => {
  test.each([
    ['a key', { rescue_password: SECRET }],
    ['a key of camels', { agentToken: SECRET, apiKey: [SECRET] }],
    ['a header', { 'X-Auth-Token': SECRET, 'Set-Cookie': [`a=${SECRET}`] }],
    ['headers as a list', { rawHeaders: ['Host', 'h', 'authorization', `Own ${SECRET}`] }],
    ['headers as pairs', { headers: [{ name: 'Cookie', value: SECRET }] }],
    ['an object behind a key', { configdrive: { user_data: SECRET } }],
  ])('strikes out %s', (_name, value) =>
    expect(JSON.stringify(redact(value))).not.toContain(SECRET),
  )

  test('leaves what holds nothing', () => {
    const value = { agent_token: null, headers: { host: 'h' }, list: [1, 'two', true] }
    expect(redact(value)).toEqual(value)
  })
})
