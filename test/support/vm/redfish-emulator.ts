// SPDX-License-Identifier: Apache-2.0
// Owns a management controller for QEMU machines: the part of Redfish that Ironic drives a server by
// (power, boot override, virtual media), over HTTP with basic authentication. Does not decide anything.
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { QemuMachine } from './qemu-machine.ts'
import {
  BOOT_MODES,
  BOOT_TARGETS,
  type BootOverride,
  collection,
  ethernetInterface,
  MEDIA,
  type MediaName,
  manager,
  ROOT,
  serviceRoot,
  system,
  virtualMedia,
} from './redfish-resources.ts'

const BODY_LIMIT_BYTES = 64 * 1024
const DOWNLOAD_TIMEOUT_MS = 300_000

/** What the emulator was asked to do, beside being looked at. */
export interface RedfishAction {
  readonly machine: string
  /** `Reset On`, `Boot Pxe Once`, `InsertMedia Cd`. */
  readonly what: string
}

export interface RedfishOptions {
  readonly machines: readonly QemuMachine[]
  readonly host: string
  /** Gets the images of virtual media. */
  readonly folder: string
  readonly user?: string
  readonly password?: string
  readonly onAction?: (action: RedfishAction) => void
}

export interface RedfishEmulator extends AsyncDisposable {
  readonly url: string
  readonly user: string
  readonly password: string
  readonly actions: readonly RedfishAction[]
  /** `redfish_system_id` of a machine. */
  systemId(machine: QemuMachine): string
}

interface Answer {
  readonly status: number
  readonly json?: unknown
}

/** What the controller keeps of one machine. */
interface Controlled {
  readonly machine: QemuMachine
  mode: BootOverride['enabled']
  target: string
  readonly media: Map<MediaName, string>
}

class RedfishError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Serves the machines; they stay their owner's, this only switches them. */
export async function createRedfishEmulator(options: RedfishOptions): Promise<RedfishEmulator> {
  const { user = 'operator', password = 'laboratory', folder } = options
  await mkdir(folder, { recursive: true })
  const controlled = new Map(
    options.machines.map((machine): [string, Controlled] => [
      machine.name,
      { machine, mode: 'Disabled', target: 'None', media: new Map() },
    ]),
  )
  const actions: RedfishAction[] = []
  const act = (name: string, what: string) => {
    const action = { machine: name, what }
    actions.push(action)
    options.onAction?.(action)
  }
  const find = (name: string | undefined): Controlled => {
    const found = controlled.get(name ?? '')
    if (!found) throw new RedfishError(404, `there is no ${name}`)
    return found
  }

  const get = (path: string): unknown => {
    const [kind, name, part, item] = path.slice(ROOT.length).split('/').filter(Boolean)
    if (kind === undefined) return serviceRoot()
    if (name === undefined && (kind === 'Systems' || kind === 'Managers')) {
      return collection(path, [...controlled.keys()])
    }
    const shown = kind === 'Systems' ? showSystem : kind === 'Managers' ? showManager : undefined
    const json = shown?.(find(name), path, part, item)
    if (json === undefined) throw new RedfishError(404, `there is no ${path}`)
    return json
  }

  const post = async (path: string, body: Record<string, unknown>): Promise<void> => {
    const [kind, name, part, item, , verb] = path.slice(ROOT.length).split('/').filter(Boolean)
    const one = find(name)
    if (kind === 'Systems' && item === 'ComputerSystem.Reset') {
      act(one.machine.name, `Reset ${body['ResetType']}`)
      return reset(one.machine, body['ResetType'])
    }
    if (kind === 'Managers' && part === 'VirtualMedia') {
      const media = mediaName(item)
      if (verb === 'VirtualMedia.InsertMedia') {
        const imageUrl = String(body['Image'])
        const image = join(folder, `${one.machine.name}-${media}.img`)
        await download(imageUrl, image)
        one.media.set(media, imageUrl)
        setMedia(one.machine, media, image)
        return act(one.machine.name, `InsertMedia ${media}`)
      }
      if (verb === 'VirtualMedia.EjectMedia') {
        one.media.delete(media)
        setMedia(one.machine, media, undefined)
        return act(one.machine.name, `EjectMedia ${media}`)
      }
    }
    throw new RedfishError(404, `there is no action ${path}`)
  }

  const patch = (path: string, body: Record<string, unknown>): void => {
    const [kind, name] = path.slice(ROOT.length).split('/').filter(Boolean)
    if (kind !== 'Systems') throw new RedfishError(405, `${path} cannot be changed`)
    const one = find(name)
    setBoot(one, (body['Boot'] ?? {}) as Record<string, unknown>)
    act(one.machine.name, `Boot ${one.target} ${one.mode} ${one.machine.setup.firmware}`)
  }

  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const path = new URL(request.url ?? '/', 'http://x').pathname.replace(/\/+$/, '')
    // DSP0266: the service root is shown without credentials
    if (path !== ROOT && request.headers.authorization !== basic(user, password)) {
      throw new RedfishError(401, 'these are not the credentials')
    }
    if (!path.startsWith(ROOT)) throw new RedfishError(404, `there is no ${path}`)
    if (request.method === 'GET') return { status: 200, json: get(path) }
    const body = await readJson(request)
    if (request.method === 'PATCH') patch(path, body)
    else if (request.method === 'POST') await post(path, body)
    else throw new RedfishError(405, `${request.method} is not served`)
    return { status: 204 }
  }

  const server = createServer((request, response) => {
    answer(request)
      .catch((error: unknown) => errorAnswer(error))
      .then((result) => send(response, result))
      .catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, options.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${options.host}:${port}`,
    user,
    password,
    actions,
    systemId: ({ name }) => `${ROOT}/Systems/${name}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

type Show = (one: Controlled, path: string, part?: string, item?: string) => unknown

const showSystem: Show = (one, path, part, item) => {
  const state = stateOf(one)
  if (part === undefined) return system(state)
  if (part !== 'EthernetInterfaces') return undefined
  return item === undefined ? collection(path, ['nic']) : ethernetInterface(state)
}

const showManager: Show = ({ machine, media }, path, part, item) => {
  if (part === undefined) return manager(machine.name)
  if (part !== 'VirtualMedia') return undefined
  if (item === undefined) return collection(path, Object.keys(MEDIA))
  return virtualMedia(machine.name, mediaName(item), media.get(mediaName(item)))
}

function stateOf({ machine, mode, target }: Controlled) {
  // a boot used the override up
  const isUsed = mode === 'Once' && machine.setup.once === undefined
  const override: BootOverride = isUsed
    ? { enabled: 'Disabled', target: 'None' }
    : { enabled: mode, target }
  const { name, uuid, mac } = machine
  return { name, uuid, mac, isOn: machine.isOn(), firmware: machine.setup.firmware, override }
}

function setBoot(one: Controlled, boot: Record<string, unknown>): void {
  const { setup } = one.machine
  const firmware = BOOT_MODES[String(boot['BootSourceOverrideMode'])]
  if (firmware) setup.firmware = firmware
  const enabled = boot['BootSourceOverrideEnabled']
  if (enabled === 'Once' || enabled === 'Continuous' || enabled === 'Disabled') one.mode = enabled
  if (boot['BootSourceOverrideTarget'] !== undefined) {
    one.target = String(boot['BootSourceOverrideTarget'])
  }
  const device = BOOT_TARGETS[one.target]
  setup.once = one.mode === 'Once' ? device : undefined
  setup.device = one.mode === 'Continuous' && device ? device : 'disk'
}

/** As a server does it: answered at once, the machine follows. */
async function reset(machine: QemuMachine, type: unknown): Promise<void> {
  if (type === 'On') return machine.powerOn()
  if (type === 'ForceOff') return machine.powerOff()
  if (type === 'ForceRestart') return machine.powerCycle()
  if (type === 'GracefulShutdown') return machine.pressPowerButton()
  throw new RedfishError(400, `there is no ResetType ${String(type)}`)
}

function setMedia(machine: QemuMachine, media: MediaName, image: string | undefined): void {
  if (media === 'Cd') machine.setup.cdrom = image
  else machine.setup.usbStick = image
}

function mediaName(name: string | undefined): MediaName {
  if (name === 'Cd' || name === 'UsbStick') return name
  throw new RedfishError(404, `there is no drive ${name}`)
}

/** The old file, if a machine still reads it, stays as it is: the new one has another inode. */
async function download(url: string, path: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) })
  if (!response.ok || !response.body) {
    throw new RedfishError(400, `${url} answered ${response.status}`)
  }
  await rm(path, { force: true })
  await pipeline(Readable.fromWeb(response.body), createWriteStream(path))
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length
    if (length > BODY_LIMIT_BYTES) throw new RedfishError(413, 'the body is too long')
    parts.push(part)
  }
  const text = Buffer.concat(parts).toString('utf8')
  try {
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
  } catch {
    throw new RedfishError(400, 'the body is not JSON')
  }
}

function errorAnswer(error: unknown): Answer {
  const status = error instanceof RedfishError ? error.status : 500
  const message = error instanceof Error ? error.message : String(error)
  return { status, json: { error: { code: 'Base.1.0.GeneralError', message } } }
}

function send(response: ServerResponse, { status, json }: Answer): void {
  const text = json === undefined ? '' : JSON.stringify(json)
  response.writeHead(status, {
    // Ironic keeps connections for minutes and takes a dropped one for a failed power action
    connection: 'close',
    'content-length': Buffer.byteLength(text),
    'odata-version': '4.0',
    ...(text === '' ? {} : { 'content-type': 'application/json' }),
    ...(status === 401 ? { 'www-authenticate': 'Basic realm="laboratory"' } : {}),
  })
  response.end(text)
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
