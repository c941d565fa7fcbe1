import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { QemuMachine } from '../../../support/vm/qemu-machine.ts'
import {
  createRedfishEmulator,
  type RedfishEmulator,
} from '../../../support/vm/redfish-emulator.ts'

let folder: string
let redfish: RedfishEmulator
let machine: QemuMachine

/** Hardware that only remembers: what is behind the power switch is not looked at here. */
function hardware(): QemuMachine {
  let isOn = false
  const setup = { firmware: 'bios', device: 'disk', once: undefined } as QemuMachine['setup']
  const powerOn = async () => {
    setup.once = undefined
    isOn = true
  }
  const powerOff = async () => {
    isOn = false
  }
  const names = {
    name: 'one',
    uuid: '1a04ad5e-0000-4000-8000-000000000001',
    mac: '52:54:00:00:00:01',
  }
  return { ...names, setup, isOn: () => isOn, powerOn, powerOff } as unknown as QemuMachine
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-redfish-'))
  machine = hardware()
  redfish = await createRedfishEmulator({ machines: [machine], host: '127.0.0.1', folder })
})

afterEach(async () => {
  await redfish[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const SYSTEM = '/redfish/v1/Systems/one'
const CD = '/redfish/v1/Managers/one/VirtualMedia/Cd'

async function ask(method: string, path: string, body?: unknown, password = redfish.password) {
  const credentials = Buffer.from(`${redfish.user}:${password}`).toString('base64')
  const response = await fetch(`${redfish.url}${path}`, {
    method,
    headers: { authorization: `Basic ${credentials}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { response, json: text === '' ? undefined : JSON.parse(text) }
}

test('asks for credentials everywhere but at the root, and closes each connection', async () => {
  const { response } = await ask('GET', SYSTEM, undefined, 'wrong')
  expect(response.status).toBe(401)
  expect(response.headers.get('connection')).toBe('close')
  expect((await ask('GET', '/redfish/v1/', undefined, 'wrong')).response.status).toBe(200)
})

test('an override for one boot is used up by it, a lasting one is not', async () => {
  const override = (target: string, enabled: string) =>
    ask('PATCH', SYSTEM, {
      Boot: { BootSourceOverrideTarget: target, BootSourceOverrideEnabled: enabled },
    })
  await override('Pxe', 'Once')
  expect(machine.setup).toMatchObject({ once: 'network', device: 'disk' })
  await ask('POST', `${SYSTEM}/Actions/ComputerSystem.Reset`, { ResetType: 'On' })
  const { json } = await ask('GET', SYSTEM)
  expect(json).toMatchObject({ PowerState: 'On', Boot: { BootSourceOverrideEnabled: 'Disabled' } })
  await override('Cd', 'Continuous')
  expect(machine.setup).toMatchObject({ once: undefined, device: 'cdrom' })
})

test('the boot mode is the firmware', async () => {
  await ask('PATCH', SYSTEM, { Boot: { BootSourceOverrideMode: 'UEFI' } })
  expect(machine.setup.firmware).toBe('uefi')
  expect((await ask('GET', SYSTEM)).json.Boot.BootSourceOverrideMode).toBe('UEFI')
})

test('inserted media are downloaded into the drive and shown until they are ejected', async () => {
  const images = createServer((_, response) => response.end('an ISO'))
  await new Promise<void>((resolve) => images.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(images.address() as AddressInfo).port}/boot.iso`
  await ask('POST', `${CD}/Actions/VirtualMedia.InsertMedia`, { Image: url })
  images.close()
  expect((await ask('GET', CD)).json).toMatchObject({ Inserted: true, Image: url })
  expect(await readFile(machine.setup.cdrom as string, 'utf8')).toBe('an ISO')
  await ask('POST', `${CD}/Actions/VirtualMedia.EjectMedia`, {})
  expect((await ask('GET', CD)).json).toMatchObject({ Inserted: false })
  expect(machine.setup.cdrom).toBeUndefined()
})

test.each(['/redfish/v1/Systems/two', '/redfish/v1/Chassis', '/', `${CD}x`])(
  '%s is not there',
  async (path) => {
    expect((await ask('GET', path)).response.status).toBe(404)
  },
)
