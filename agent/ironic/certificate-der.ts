// SPDX-License-Identifier: Apache-2.0
// Owns the bytes of a self-signed certificate (X.509 v3 in DER, RFC 5280 section 4.1): one name, one
// validity, one critical SubjectAltName. Reads none; node:crypto does.
import { sign as cryptoSign, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'

/** Identifier octets (X.690 8.1.2). */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  version: 0xa0,
  extensions: 0xa3,
  dnsName: 0x82,
  ipAddress: 0x87,
} as const

/** Contents octets of the identifiers used. */
const OID = {
  commonName: [0x55, 0x04, 0x03], // 2.5.4.3
  subjectAltName: [0x55, 0x1d, 0x11], // 2.5.29.17
  ecdsaWithSha512: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], // 1.2.840.10045.4.3.4
} as const

const VERSION_3 = 2
/** From this year on times are GeneralizedTime (RFC 5280 4.1.2.5). */
const FIRST_GENERALIZED_YEAR = 2050

export interface CertificateFields {
  /** Big-endian, positive, without leading zeros; at most 20 octets. */
  readonly serialNumber: Uint8Array
  /** Subject and issuer: the common name. */
  readonly commonName: string
  /** The SubjectAltName: an IP address or a DNS name. */
  readonly address: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** On an elliptic curve. */
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
}

/** The certificate in DER, signed with its own key by ECDSA with SHA-512 (RFC 5758 3.2). */
export function encodeSelfSigned(fields: CertificateFields): Buffer {
  const { publicKey, privateKey } = fields.keys
  const algorithm = der(TAG.sequence, der(TAG.oid, OID.ecdsaWithSha512))
  const name = encodeName(fields.commonName)
  const signed = der(
    TAG.sequence,
    der(TAG.version, der(TAG.integer, [VERSION_3])),
    der(TAG.integer, fields.serialNumber),
    algorithm,
    name,
    der(TAG.sequence, encodeTime(fields.notBefore), encodeTime(fields.notAfter)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(TAG.extensions, der(TAG.sequence, encodeSubjectAltName(fields.address))),
  )
  const signature = cryptoSign('sha512', signed, privateKey)
  return der(TAG.sequence, signed, algorithm, der(TAG.bitString, [0], signature))
}

/** One TLV with a definite length in its shortest form (X.690 10.1). */
function der(tag: number, ...contents: readonly (Uint8Array | readonly number[])[]): Buffer {
  const content = Buffer.concat(contents.map((part) => Buffer.from(part)))
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const octets = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...octets]), content])
}

function encodeName(commonName: string): Buffer {
  const value = der(TAG.utf8String, Buffer.from(commonName))
  const attribute = der(TAG.sequence, der(TAG.oid, OID.commonName), value)
  return der(TAG.sequence, der(TAG.set, attribute))
}

/** YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ, without fractions. */
function encodeTime(time: Date): Buffer {
  const digits = `${time.toISOString().replace(/\.\d+Z$|\D/g, '')}Z`
  return time.getUTCFullYear() < FIRST_GENERALIZED_YEAR
    ? der(TAG.utcTime, Buffer.from(digits.slice(2)))
    : der(TAG.generalizedTime, Buffer.from(digits))
}

function encodeSubjectAltName(address: string): Buffer {
  const name = isIP(address)
    ? der(TAG.ipAddress, addressOctets(address))
    : der(TAG.dnsName, Buffer.from(address, 'latin1'))
  const isCritical = der(TAG.boolean, [0xff])
  const value = der(TAG.octetString, der(TAG.sequence, name))
  return der(TAG.sequence, der(TAG.oid, OID.subjectAltName), isCritical, value)
}

/** 4 or 16 octets in network order (RFC 5280 4.2.1.6). */
function addressOctets(address: string): number[] {
  if (isIP(address) === 4) return address.split('.').map(Number)
  // the URL parser writes IPv4 tails as groups too, and leaves nothing but groups and one ::
  const plain = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1)
  const [head = '', tail] = plain.split('::')
  const groupsOf = (text: string) => text.split(':').filter((group) => group !== '')
  const before = groupsOf(head)
  const after = groupsOf(tail ?? '')
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}
