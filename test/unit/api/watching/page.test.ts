import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { html } from '../../../../agent/api/page/html.ts'
import { startWatched } from './watching-lab.ts'

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

async function typeFor(port: number, accept: string | undefined): Promise<string> {
  // fetch would say */* by itself
  const headers = { accept: accept ?? '' }
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers })
  await answer.text()
  return answer.headers.get('content-type')?.split(';')[0] ?? ''
}

test.each([
  [BROWSER, 'text/html'],
  ['text/html;q=0.5, application/json;q=0.4', 'text/html'],
  ['application/json', 'application/json'],
  ['*/*', 'application/json'],
  ['', 'application/json'],
  ['application/json, text/html', 'application/json'],
  ['text/html;q=0', 'application/json'],
  ['text/html;q=x', 'application/json'],
])('who accepts %s is answered %s', async (accept, type) => {
  await using api = await startWatched()
  expect(await typeFor(api.port, accept)).toBe(type)
})

test('switched off, browsers are given JSON as everybody', async () => {
  await using api = await startWatched({ hasPage: false })
  expect(await typeFor(api.port, BROWSER)).toBe('application/json')
})

test('the page may load and run nothing but what is in it', async () => {
  await using api = await startWatched()
  const answer = await fetch(`http://127.0.0.1:${api.port}/`, { headers: { accept: 'text/html' } })
  const text = await answer.text()
  const policy = answer.headers.get('content-security-policy') ?? ''
  expect(policy).toMatch(/^default-src 'none'; /)
  expect(policy).not.toContain('unsafe')
  for (const element of ['style', 'script']) {
    const [, content = ''] = new RegExp(`<${element}>(.*?)</${element}>`, 's').exec(text) ?? []
    const hash = createHash('sha256').update(content).digest('base64')
    expect(policy).toContain(`${element}-src 'sha256-${hash}'`)
  }
  expect(text).not.toMatch(/\s(?:on\w+|style)=/)
  expect(text.match(/(?:src|href)="(?!\/|data:)/g)).toBeNull()
})

test('what somebody else has named is text on it, never markup', async () => {
  await using api = await startWatched()
  const evil = '<script>alert("1")</script>'
  api.events.publish({
    type: 'machine',
    facts: {
      nodeName: evil,
      links: [{ name: evil, mac: evil, hasCarrier: true, addresses: [evil] }],
    },
  })
  const answer = await fetch(`http://127.0.0.1:${api.port}/`, { headers: { accept: 'text/html' } })
  const text = await answer.text()
  expect(text).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;')
  expect(text).not.toContain('<script>alert')
})

test('a template escapes texts, and leaves templates in it as they are', () => {
  expect(html`<p>${'a<b & "c"'}${[html`<i>${1}</i>`]}${null}${false}</p>`.markup).toBe(
    '<p>a&lt;b &amp; &quot;c&quot;<i>1</i></p>',
  )
})
