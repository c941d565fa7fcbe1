// SPDX-License-Identifier: Apache-2.0
// Owns writing SMBIOS tables as firmware leaves them (DSP0134 3.3): what dmidecode, lshw and the kernel's DMI directory
// read of a recorded machine, all three from the same facts.
import type { Files } from './tree.ts'

export interface Firmware {
  readonly bios: { readonly vendor: string; readonly version: string; readonly date: string }
  readonly system: {
    readonly vendor: string
    readonly product: string
    readonly serial: string
    readonly sku?: string
  }
  readonly processors?: readonly {
    readonly socket: string
    readonly version: string
    readonly cores: number
  }[]
  /** By array; a module of 0 MiB is an empty slot. */
  readonly memory?: readonly (readonly { readonly slot: string; readonly sizeMiB: number }[])[]
}

/** `/sys/firmware/dmi/tables` for programs, `/sys/class/dmi/id` as the kernel makes it of them. */
export function firmwareFiles(firmware: Firmware): Files {
  const tables = Buffer.concat(structures(firmware))
  const { bios, system } = firmware
  const id = '/sys/devices/virtual/dmi/id'
  return {
    '/sys/firmware/dmi/tables/DMI': tables,
    '/sys/firmware/dmi/tables/smbios_entry_point': entryPoint(tables.length),
    '/sys/class/dmi/id': '-> ../../devices/virtual/dmi/id',
    [`${id}/bios_vendor`]: `${bios.vendor}\n`,
    [`${id}/bios_version`]: `${bios.version}\n`,
    [`${id}/bios_date`]: `${bios.date}\n`,
    [`${id}/sys_vendor`]: `${system.vendor}\n`,
    [`${id}/product_name`]: `${system.product}\n`,
    [`${id}/product_serial`]: `${system.serial}\n`,
    [`${id}/product_sku`]: `${system.sku ?? ''}\n`,
  }
}

/** Of 64 bits (5.2.2): the bytes of it sum up to 0. */
function entryPoint(tableBytes: number): Uint8Array {
  const entry = Buffer.alloc(0x18)
  entry.write('_SM3_', 0, 'latin1')
  entry.writeUInt8(entry.length, 6)
  entry.writeUInt8(3, 7)
  entry.writeUInt8(3, 8)
  entry.writeUInt8(1, 0x0a)
  entry.writeUInt32LE(tableBytes, 0x0c)
  entry.writeBigUInt64LE(0xe0000n, 0x10)
  const sum = entry.reduce((total, byte) => total + byte, 0)
  entry.writeUInt8((256 - (sum % 256)) % 256, 5)
  return entry
}

function structures({ bios, system, processors = [], memory = [] }: Firmware): Buffer[] {
  let handle = 0
  const next = () => handle++
  const all = [
    structure(next(), 0, 0x1a, (at) => {
      at.text(0x04, bios.vendor)
      at.text(0x05, bios.version)
      at.text(0x08, bios.date)
    }),
    structure(next(), 1, 0x1b, (at) => {
      at.text(0x04, system.vendor)
      at.text(0x05, system.product)
      at.text(0x07, system.serial)
      at.number(0x18, 6, 1)
      at.text(0x19, system.sku ?? '')
    }),
    ...processors.map((processor) =>
      structure(next(), 4, 0x30, (at) => {
        at.text(0x04, processor.socket)
        at.number(0x05, 3, 1)
        at.number(0x06, 0xb3, 1)
        at.text(0x07, 'Intel(R) Corporation')
        at.text(0x10, processor.version)
        at.number(0x18, 0x41, 1)
        for (const cache of [0x1a, 0x1c, 0x1e]) at.number(cache, 0xffff, 2)
        at.number(0x23, processor.cores, 1)
        at.number(0x24, processor.cores, 1)
        at.number(0x25, processor.cores * 2, 1)
        at.number(0x28, 0xb3, 2)
      }),
    ),
  ]
  for (const modules of memory) {
    const array = next()
    all.push(memoryArray(array, modules.length))
    for (const { slot, sizeMiB } of modules) {
      all.push(memoryModule(next(), array, slot, sizeMiB))
    }
  }
  return [...all, structure(next(), 127, 4, () => undefined)]
}

function memoryArray(handle: number, slots: number): Buffer {
  return structure(handle, 16, 0x17, (at) => {
    at.number(0x04, 3, 1)
    at.number(0x05, 3, 1)
    at.number(0x06, 6, 1)
    at.number(0x07, 0x8000_0000, 4)
    at.number(0x0b, 0xfffe, 2)
    at.number(0x0d, slots, 2)
    at.number(0x13, 0x100, 4)
  })
}

/** From 32 GiB on the size stands further behind. */
function memoryModule(handle: number, array: number, slot: string, sizeMiB: number): Buffer {
  return structure(handle, 17, 0x28, (at) => {
    at.number(0x04, array, 2)
    at.number(0x06, 0xfffe, 2)
    at.number(0x08, 72, 2)
    at.number(0x0a, 64, 2)
    at.number(0x0c, Math.min(sizeMiB, 0x7fff), 2)
    at.number(0x0e, 9, 1)
    at.text(0x10, slot)
    at.number(0x12, 0x1a, 1)
    at.number(0x15, 3200, 2)
    if (sizeMiB >= 0x7fff) at.number(0x1c, sizeMiB, 4)
  })
}

interface Fields {
  number(offset: number, value: number, bytes: 1 | 2 | 4): void
  /** An empty one is none. */
  text(offset: number, value: string): void
}

function structure(
  handle: number,
  type: number,
  length: number,
  fill: (at: Fields) => void,
): Buffer {
  const head = Buffer.alloc(length)
  const texts: string[] = []
  head.writeUInt8(type, 0)
  head.writeUInt8(length, 1)
  head.writeUInt16LE(handle, 2)
  fill({
    number: (offset, value, bytes) => head.writeUIntLE(value, offset, bytes),
    text: (offset, value) => {
      if (value !== '') head.writeUInt8(texts.push(value), offset)
    },
  })
  const strings = texts.length === 0 ? '\0' : texts.map((text) => `${text}\0`).join('')
  return Buffer.concat([head, Buffer.from(`${strings}\0`, 'latin1')])
}
