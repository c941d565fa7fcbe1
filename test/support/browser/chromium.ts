// SPDX-License-Identifier: Apache-2.0
// Owns a real browser without a window: Debian's Chromium, spoken to by its DevTools protocol over a WebSocket. It
// ends with its owner. Does not know any page.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopChild } from '../processes.ts'

/** A busy machine takes its time. */
const START_MS = 120_000
const ANSWER_MS = 60_000

export interface Look {
  readonly width: number
  readonly height: number
  readonly isDark?: boolean
  readonly isPhone?: boolean
  /** Without: scripts do not run. */
  readonly hasScripts?: boolean
}

export interface Tab {
  goto(url: string): Promise<void>
  /** The value of an expression, waited for. */
  evaluate<T>(expression: string): Promise<T>
  /** The whole page as PNG. */
  screenshot(path: string): Promise<void>
  /** What the browser complains of: errors, refused loads, exceptions. */
  complaints(): readonly string[]
  close(): Promise<void>
}

export interface Browser extends AsyncDisposable {
  open(look: Look): Promise<Tab>
}

type Message = Readonly<Record<string, unknown>>

export async function startChromium(): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'ironswarm-chromium-'))
  const child = spawn(
    'chromium',
    [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
      ...['--no-first-run', '--disable-background-networking', '--disable-component-update'],
      ...[
        '--disable-sync',
        '--no-proxy-server',
        '--hide-scrollbars',
        '--ignore-certificate-errors',
      ],
      ...['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const connection = await connect(await addressOf(child))
  return {
    open: async (look) => await openTab(connection, look),
    [Symbol.asyncDispose]: async () => {
      connection.close()
      await stopChild(child)
      await rm(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function addressOf(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(() => reject(new Error(`Chromium has not started: ${said}`)), START_MS)
  let said = ''
  child.stderr?.on('data', (bytes) => {
    said = `${said}${bytes}`.slice(-4000)
    const [, address] = /DevTools listening on (ws:\S+)/.exec(said) ?? []
    if (address !== undefined) resolve(address)
  })
  child.once('error', reject)
  child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}: ${said}`)))
  return promise.finally(() => clearTimeout(timer))
}

interface Connection {
  call(method: string, params?: Message, sessionId?: string): Promise<Message>
  onEvent(sessionId: string, on: (method: string, params: Message) => void): void
  close(): void
}

async function connect(address: string): Promise<Connection> {
  const socket = new WebSocket(address)
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', () => reject(new Error('no connection to Chromium')))
  })
  const waiting = new Map<number, PromiseWithResolvers<Message>>()
  const listeners = new Map<string, (method: string, params: Message) => void>()
  let lastId = 0
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(String(data))
    if (id === undefined) return listeners.get(sessionId)?.(method, params)
    const asked = waiting.get(id)
    waiting.delete(id)
    if (error) asked?.reject(new Error(`Chromium refuses: ${error.message}`))
    else asked?.resolve(result)
  })
  return {
    call: async (method, params = {}, sessionId) => {
      lastId += 1
      const id = lastId
      const asked = Promise.withResolvers<Message>()
      waiting.set(id, asked)
      socket.send(JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) }))
      const timer = setTimeout(() => asked.reject(new Error(`${method}: no answer`)), ANSWER_MS)
      return await asked.promise.finally(() => clearTimeout(timer))
    },
    onEvent: (sessionId, on) => void listeners.set(sessionId, on),
    close: () => socket.close(),
  }
}

async function openTab(connection: Connection, look: Look): Promise<Tab> {
  const { targetId } = await connection.call('Target.createTarget', { url: 'about:blank' })
  const attached = await connection.call('Target.attachToTarget', { targetId, flatten: true })
  const sessionId = String(attached['sessionId'])
  const call = (method: string, params?: Message) => connection.call(method, params, sessionId)
  const complaints: string[] = []
  connection.onEvent(sessionId, (method, params) => {
    const entry = params['entry'] as Message | undefined
    if (method === 'Log.entryAdded' && entry?.['level'] !== 'verbose') {
      complaints.push(`${entry?.['level']}: ${entry?.['text']}`)
    }
    if (method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(params))
  })
  for (const domain of ['Page', 'Runtime', 'Log']) await call(`${domain}.enable`)
  const { width, height, isPhone = false, isDark = false, hasScripts = true } = look
  await call('Emulation.setDeviceMetricsOverride', {
    ...{ width, height, deviceScaleFactor: isPhone ? 2 : 1, mobile: isPhone },
  })
  await call('Emulation.setEmulatedMedia', {
    features: [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }],
  })
  await call('Emulation.setScriptExecutionDisabled', { value: !hasScripts })
  const evaluate = async <T>(expression: string): Promise<T> => {
    const options = { expression, awaitPromise: true, returnByValue: true }
    const { result, exceptionDetails } = await call('Runtime.evaluate', options)
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails))
    return (result as { value: T }).value
  }
  return {
    evaluate,
    goto: async (url) => {
      await call('Page.navigate', { url })
      const end = performance.now() + ANSWER_MS
      while ((await evaluate('location.href + document.readyState')) !== `${url}complete`) {
        if (performance.now() > end) throw new Error(`${url} has not loaded`)
        await delay(50)
      }
    },
    screenshot: async (path) => {
      const options = { format: 'png', captureBeyondViewport: true }
      const { data } = await call('Page.captureScreenshot', options)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, Buffer.from(String(data), 'base64'))
    },
    complaints: () => complaints,
    close: async () => void (await connection.call('Target.closeTarget', { targetId })),
  }
}
