import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../../agent/core/errors.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import { listenForLldp } from '../../../../agent/system/lldp/lldp.ts'
import { chassisName, parseLldpFrame, type Tlv } from '../../../../agent/system/lldp/lldpdu.ts'
import { createPcapReader } from '../../../../agent/system/lldp/pcap.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'

const ETHERNET = Buffer.from('0180c200000e02000000000188cc', 'hex')

function frameOf(tlvs: readonly Tlv[], padding = 0): Uint8Array {
  const parts = tlvs.flatMap(({ type, value }) => {
    const header = Buffer.alloc(2)
    header.writeUInt16BE((type << 9) | value.length)
    return [header, Buffer.from(value)]
  })
  return Buffer.concat([ETHERNET, ...parts, Buffer.alloc(padding)])
}

function pcapOf(frames: readonly Uint8Array[], isLittleEndian = true): Buffer {
  const word = (value: number) => {
    const bytes = Buffer.alloc(4)
    if (isLittleEndian) bytes.writeUInt32LE(value)
    else bytes.writeUInt32BE(value)
    return bytes
  }
  const records = frames.flatMap((frame) => [
    Buffer.concat([word(1), word(2), word(frame.length), word(frame.length)]),
    frame,
  ])
  return Buffer.concat([word(0xa1b2c3d4), Buffer.alloc(20), ...records])
}

const value = (maxLength = 511) => fc.uint8Array({ maxLength })
const tlv = (type: number) => value().map((bytes): Tlv => ({ type, value: bytes }))
const anyTlv = fc.integer({ min: 1, max: 127 }).chain(tlv)
const END: Tlv = { type: 0, value: new Uint8Array() }
const lldpdu = fc
  .tuple(tlv(1), tlv(2), tlv(3), fc.array(anyTlv, { maxLength: 6 }))
  .map(([chassis, port, ttl, more]) => [chassis, port, ttl, ...more, END])

describe('an LLDP frame', () => {
  test('is its TLVs again, whatever they hold and however it is padded', () => {
    fc.assert(
      fc.property(lldpdu, fc.integer({ min: 0, max: 46 }), (tlvs, padding) => {
        const plain = (list: readonly Tlv[] | undefined) =>
          list?.map(({ type, value: bytes }) => [type, Buffer.from(bytes).toString('hex')])
        expect(plain(parseLldpFrame(frameOf(tlvs, padding)))).toEqual(plain(tlvs))
      }),
    )
  })

  test('cut off anywhere or full of anything never throws', () => {
    fc.assert(
      fc.property(lldpdu, fc.nat(4000), value(1600), (tlvs, length, noise) => {
        const cut = parseLldpFrame(frameOf(tlvs).slice(0, length))
        for (const each of cut ?? []) expect(each.value.length).toBeLessThanOrEqual(511)
        parseLldpFrame(noise)
        parseLldpFrame(Buffer.concat([ETHERNET, noise]))
      }),
    )
  })

  test('without chassis, port and life time in this order is none', () => {
    const [one, two, three] = [1, 2, 3].map((type) => ({ type, value: Uint8Array.of(4, 1) }))
    const wrong = [[], [one, two], [two, one, three], [one, three, two, END]] as Tlv[][]
    for (const tlvs of wrong) expect(parseLldpFrame(frameOf(tlvs))).toBeUndefined()
  })

  test('of another protocol is none', () => {
    const frame = Buffer.from(frameOf([1, 2, 3].map((type) => ({ type, value: END.value }))))
    expect(parseLldpFrame(frame)).toHaveLength(3)
    frame[12] = 0x08
    expect(parseLldpFrame(frame)).toBeUndefined()
  })
})

test.each([
  ['04aabbccddeeff', 'lldp:4:aabbccddeeff'],
  ['0773773031', 'lldp:7:73773031'],
  ['04', undefined],
  ['', undefined],
])('the chassis id %s is called %s', (hex, name) => {
  expect(chassisName([{ type: 1, value: Buffer.from(hex, 'hex') }])).toBe(name)
})

describe('a capture', () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 1600 }), { maxLength: 5 })

  test('is the same frames, in whatever pieces it comes and whoever wrote it', () => {
    fc.assert(
      fc.property(frames, fc.boolean(), fc.integer({ min: 1, max: 99 }), (list, isLittle, step) => {
        const stream = pcapOf(list, isLittle)
        const reader = createPcapReader()
        const got: Uint8Array[] = []
        for (let at = 0; at < stream.length; at += step) {
          got.push(...reader.push(stream.subarray(at, at + step)))
        }
        expect(got.map((each) => Buffer.from(each))).toEqual(list.map((each) => Buffer.from(each)))
      }),
    )
  })

  test('that is none brings nothing and throws nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (chunks) => {
        const reader = createPcapReader()
        for (const chunk of chunks) expect(reader.push(chunk)).toEqual([])
      }),
    )
  })

  test('with a frame longer than any is given up', () => {
    const reader = createPcapReader()
    const stream = pcapOf([frameOf([])])
    stream.writeUInt32LE(0x7fff_ffff, 24 + 8)
    expect(reader.push(stream)).toEqual([])
    expect(reader.push(pcapOf([frameOf([])]))).toEqual([])
  })
})

describe('listening', () => {
  const log = createLogger({ level: 'silent' })
  const VALID = [1, 2, 3].map((type) => ({ type, value: Uint8Array.of(4, 7) }))

  /** A tcpdump that captures this, then waits until it is ended. */
  const capturing =
    (byInterface: Record<string, Uint8Array>): Exec =>
    (argv, { onStdout, signal } = {}) =>
      new Promise((_, reject) => {
        const cancelled = () => reject(new AgentError('ProcessError', 'cancelled'))
        signal?.addEventListener('abort', cancelled, { once: true })
        const name = argv[argv.indexOf('-i') + 1] as string
        onStdout?.(byInterface[name] ?? new Uint8Array())
      })

  test('goes on while interfaces hear something, and ends with the silence', async () => {
    const exec = capturing({ eth0: pcapOf([frameOf(VALID)]) })
    const request = { interfaces: ['eth0', 'eth1'], silenceMs: 50 }
    const heard = await listenForLldp(request, { exec, log })
    expect(heard?.get('eth0')).toHaveLength(3)
    expect(heard?.get('eth1')).toEqual([])
  })

  test('gives an interface up that brings nothing but garbage', async () => {
    const garbage = pcapOf(Array.from({ length: 64 }, () => Uint8Array.of(1, 2, 3)))
    const request = { interfaces: ['eth0'], silenceMs: 3_600_000 }
    const heard = await listenForLldp(request, { exec: capturing({ eth0: garbage }), log })
    expect(heard?.get('eth0')).toEqual([])
  })

  test('for no time runs nothing', async () => {
    const exec: Exec = () => Promise.reject(new Error('a command was run'))
    const heard = await listenForLldp({ interfaces: ['eth0'], silenceMs: 0 }, { exec, log })
    expect(heard?.get('eth0')).toEqual([])
  })

  test('ends at once when told', async () => {
    const request = { interfaces: ['eth0'], silenceMs: 3_600_000, signal: AbortSignal.abort() }
    const heard = await listenForLldp(request, { exec: capturing({}), log })
    expect(heard?.get('eth0')).toEqual([])
  })
})
