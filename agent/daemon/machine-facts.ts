// SPDX-License-Identifier: Apache-2.0
// Owns what people are told of this machine and its node: published when it is found out, interfaces whenever they
// change. Does not find out more than that; hardware managers do.
import { hostname, networkInterfaces } from 'node:os'
import type { EventPublisher, Link, MachineFacts } from '../core/events.ts'
import { stringAt } from '../core/json.ts'
import { redactUrl } from '../core/redact.ts'
import { watchArrays } from '../disk/md/sync-watch.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import type { LookedUpNode } from '../ironic/lookup.ts'
import type { Process } from '../system/process.ts'
import type { Root } from '../system/root.ts'

/** A virtio disk has one instead of a name. */
const VENDOR_NUMBER = /^0x[0-9a-f]+$/i
const LOOK_MS = 2000
/** More would not fit on any screen. */
const MOST_LINKS = 32
const MOST_DISKS = 64
/** Of one interface: an event holds 512 values in all (telemetry/sealed-event.ts). */
const MOST_ADDRESSES = 8

function tellMachine(events: EventPublisher, facts: MachineFacts): void {
  events.publish({ type: 'machine', facts })
}

/**
 * Says who this is, then looks at interfaces and arrays until disposed of, and tells when interfaces are others than
 * before, and how far arrays are in sync.
 */
export function watchMachine(
  { events, version }: Pick<Process, 'events' | 'version'>,
  root: Root,
): Disposable {
  tellMachine(events, { hostname: hostname(), version })
  let told = ''
  let isLooking = false
  const look = async () => {
    if (isLooking) return
    isLooking = true
    const links = await readLinks(root).finally(() => {
      isLooking = false
    })
    const text = JSON.stringify(links)
    if (text === told) return
    told = text
    tellMachine(events, { links })
  }
  // a look that fails is one that comes later
  const lookOrNot = () => void look().catch(() => undefined)
  const timer = setInterval(lookOrNot, LOOK_MS)
  timer.unref()
  lookOrNot()
  const arrays = watchArrays(events, root)
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer)
      arrays[Symbol.dispose]()
    },
  }
}

/** Of real and made interfaces, without loopback. */
async function readLinks(root: Root): Promise<Link[]> {
  const addresses = networkInterfaces()
  const names = (await root.list('/sys/class/net')).filter((name) => name !== 'lo')
  const links = await Promise.all(
    names.slice(0, MOST_LINKS).map(async (name): Promise<Link | undefined> => {
      const read = (what: string) => root.readText(`/sys/class/net/${name}/${what}`)
      const [mac, carrier] = await Promise.all([read('address'), read('carrier')])
      if (mac === undefined || mac === '') return undefined
      const own = (addresses[name] ?? []).filter(({ scopeid }) => (scopeid ?? 0) === 0)
      return {
        name,
        mac: mac.toLowerCase(),
        hasCarrier: carrier === '1',
        addresses: own.slice(0, MOST_ADDRESSES).map(({ address }) => address),
      }
    }),
  )
  return links.filter((link) => link !== undefined)
}

/** What the machine is made of; what cannot be had is left out. */
export async function tellHardware(
  hardware: Pick<Hardware, 'dispatch'>,
  events: EventPublisher,
): Promise<void> {
  const [disks, vendor, cpus, memory] = await Promise.all([
    hardware.dispatch('listBlockDevices', undefined).catch(() => undefined),
    hardware.dispatch('getSystemVendorInfo').catch(() => undefined),
    hardware.dispatch('getCpus').catch(() => undefined),
    hardware.dispatch('getMemory').catch(() => undefined),
  ])
  const model = [vendor?.manufacturer, vendor?.product_name].filter((word) => word).join(' ')
  const memoryMib = memory?.physical_mb
  tellMachine(events, {
    ...(disks === undefined
      ? {}
      : {
          disks: disks.slice(0, MOST_DISKS).map(({ name, sizeBytes, model: type, vendor: by }) => ({
            name,
            sizeBytes,
            model: [by, type].filter((word) => word && !VENDOR_NUMBER.test(word)).join(' '),
          })),
        }),
    ...(model === '' ? {} : { model }),
    ...(typeof cpus?.count === 'number' ? { cpus: cpus.count } : {}),
    ...(typeof memoryMib === 'number' ? { memoryMib } : {}),
  })
}

export function tellNode(events: EventPublisher, { nodeUuid, node }: LookedUpNode): void {
  const nodeName = stringAt(node, 'name')
  tellMachine(events, { nodeUuid, ...(nodeName === undefined ? {} : { nodeName }) })
}

/** The first URL that is asked. */
export function tellIronic(events: EventPublisher, urls: readonly string[]): void {
  const [url] = urls
  if (url !== undefined) tellMachine(events, { ironicUrl: redactUrl(url) })
}
