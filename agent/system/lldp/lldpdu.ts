// SPDX-License-Identifier: Apache-2.0
// Owns the form of what switches say of themselves (IEEE 802.1AB, LLDP): a list of type, length, value.
// Does not listen (lldp.ts) and looks into no values but the chassis id's and VLAN names'.

export interface Tlv {
  /** 0–127. */
  readonly type: number
  /** Up to 511 bytes. */
  readonly value: Uint8Array
}

const TYPES = { end: 0, chassisId: 1, portId: 2, timeToLive: 3 } as const
/** 802.1AB 9.2.7.7.1: what does not begin with these is discarded. */
const FIRST = [TYPES.chassisId, TYPES.portId, TYPES.timeToLive]
const ETHERNET_HEADER_BYTES = 14
const LLDP_ETHERTYPE = 0x88cc

/**
 * The TLVs of an Ethernet frame, the end marker too, without the padding behind it. Undefined for
 * anything that is no LLDP; a TLV that is longer than the frame ends the list.
 */
export function parseLldpFrame(frame: Uint8Array): Tlv[] | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (frame.length < ETHERNET_HEADER_BYTES || view.getUint16(12) !== LLDP_ETHERTYPE)
    return undefined
  const tlvs: Tlv[] = []
  let at = ETHERNET_HEADER_BYTES
  while (at + 2 <= frame.length) {
    const header = view.getUint16(at)
    const [type, length] = [header >> 9, header & 0x1ff]
    at += 2
    if (at + length > frame.length) break
    tlvs.push({ type, value: frame.slice(at, at + length) })
    at += length
    if (type === TYPES.end) break
  }
  return FIRST.every((type, index) => tlvs[index]?.type === type) ? tlvs : undefined
}

/**
 * The chassis as text that is the same on every port of the switch: `lldp:SUBTYPE:HEX`, for example
 * `lldp:4:aabbccddeeff` for a MAC address. Undefined for an id without content.
 */
export function chassisName(tlvs: readonly Tlv[]): string | undefined {
  const id = tlvs.find(({ type }) => type === TYPES.chassisId)?.value
  const subtype = id?.[0]
  if (id === undefined || subtype === undefined || id.length < 2) return undefined
  return `lldp:${subtype}:${Buffer.from(id.subarray(1)).toString('hex')}`
}

/** IEEE 802.1Q annex D.2.3: organizationally specific, of 802.1, VLAN name. */
const VLAN_NAME = { type: 127, head: [0x00, 0x80, 0xc2, 0x03] } as const

/** VLAN ids that the switch names for this port, each once; ids that are none are the caller's to leave out. */
export function vlanIdsOf(tlvs: readonly Tlv[]): number[] {
  const ids = tlvs.flatMap(({ type, value }) => {
    const isVlanName =
      type === VLAN_NAME.type && VLAN_NAME.head.every((byte, at) => value[at] === byte)
    const [high, low] = value.subarray(VLAN_NAME.head.length)
    return isVlanName && high !== undefined && low !== undefined ? [high * 256 + low] : []
  })
  return [...new Set(ids)]
}
