// The status page in a real browser, served by the real server: what it shows, that it stays up to date, how it looks
// on desk and phone, light, dark and without scripts, and that axe-core finds nothing. Pictures stay in build/page/.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Browser, type Look, startChromium } from '../../support/browser/chromium.ts'
import { progressOf } from '../../support/event-lab.ts'
import { hasPackages } from '../../support/packages.ts'
import { startWatched } from '../../unit/api/watching/watching-lab.ts'
import { SCENES, tellScene } from './scenes.ts'

const PICTURES = join(import.meta.dirname, '../../../build/page')
const AXE = join(import.meta.dirname, '../../../node_modules/axe-core/axe.min.js')
const WAIT = { timeout: 60_000, interval: 100 }
const DESK: Look = { width: 1280, height: 900 }
const PHONE: Look = { width: 390, height: 844, isPhone: true }
const LOOKS: Readonly<Record<string, Look>> = {
  desk: DESK,
  'desk-dark': { ...DESK, isDark: true },
  phone: PHONE,
  'phone-dark': { ...PHONE, isDark: true },
  'desk-without-scripts': { ...DESK, hasScripts: false },
}

const isReady = hasPackages('browser') && existsSync(AXE)

describe.skipIf(!isReady)('the status page in Chromium', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await startChromium()
  })
  afterAll(() => browser?.[Symbol.asyncDispose]())

  describe.each(Object.keys(SCENES))('%s', (scene) => {
    test.each(Object.entries(LOOKS))('looks and reads well: %s', async (name, look) => {
      await using api = await startWatched({ now: () => Date.now() })
      tellScene(scene, api.events)
      const tab = await browser.open(look)
      await tab.goto(`http://127.0.0.1:${api.port}/`)
      await tab.screenshot(join(PICTURES, `${scene.replaceAll(' ', '-')}.${name}.png`))
      const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
      expect(await tab.evaluate(overflow)).toBe(0)
      expect(tab.complaints()).toEqual([])
      // it runs by promises, which stand still without scripts; what it would read is the same
      if (look.hasScripts === false) return await tab.close()
      await tab.evaluate(readFileSync(AXE, 'utf8'))
      const violations = await tab.evaluate<{ id: string; nodes: { html: string }[] }[]>(
        'axe.run().then(({ violations }) => violations)',
      )
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`)).toEqual(
        [],
      )
      await tab.close()
    })
  })

  test('shows what happens as it happens, and that the agent is gone', async () => {
    await using api = await startWatched({ now: () => Date.now() })
    const tab = await browser.open(DESK)
    await tab.goto(`http://127.0.0.1:${api.port}/`)
    const text = () => tab.evaluate<string>('document.body.innerText')
    expect(await text()).toContain('Starting')
    tellScene('deploying by swarm', api.events)
    await expect.poll(text, WAIT).toContain('Writing the image')
    expect(await text()).toContain('48.8%')
    expect(await tab.evaluate('document.title')).toMatch(/^48% Writing the image/)
    await tab.evaluate('document.querySelector("progress").isTheSame = true')
    api.events.publish({ type: 'progress', progress: progressOf({ step: 'fetch', percent: 50 }) })
    await expect.poll(text, WAIT).toContain('50.0%')
    // in place: what is selected or moves goes on
    expect(await tab.evaluate('document.querySelector("progress").isTheSame')).toBe(true)
    expect(tab.complaints()).toEqual([])
    await api.server.close()
    await expect.poll(text, WAIT).toContain('The agent does not answer')
    await tab.close()
  })

  test('without scripts it is a snapshot that says the same', async () => {
    await using api = await startWatched({ now: () => Date.now() })
    tellScene('deploying by swarm', api.events)
    const page = await fetch(`http://127.0.0.1:${api.port}/`, { headers: { accept: 'text/html' } })
    const text = await page.text()
    for (const word of ['Writing the image', '48.8%', 'rack4-node17', '10.0.4.23:51413']) {
      expect(text).toContain(word)
    }
    expect(text).toContain('<noscript><meta http-equiv="refresh"')
  })
})
