// SPDX-License-Identifier: Apache-2.0
// Owns the self-signed certificate of the agent's API (contract 3.5) and its files in the run directory:
// the conductor refuses a certificate that changes within one boot.
import { generateKeyPair, randomBytes, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { encodeSelfSigned } from './certificate-der.ts'
import { openRunState } from './run-state.ts'

export type CertificateCurve = 'p256' | 'p384' | 'p521'

export interface CertificateRequest {
  /** The advertised address: becomes the only SubjectAltName. */
  readonly address: string
  readonly hostname: string
  readonly curve?: CertificateCurve
  /** How far back not-before lies, seconds: the clock may be wrong by that much. */
  readonly clockSkewSeconds?: number
  readonly validDays?: number
  /** Wall clock, ms. */
  readonly now?: () => number
}

/** PEM texts. */
export interface ServerCertificate {
  readonly cert: string
  readonly key: string
}

const CURVES = { p256: 'prime256v1', p384: 'secp384r1', p521: 'secp521r1' } as const
const DAY_MS = 86_400_000
const CERT_FILE = 'agent.crt'
const KEY_FILE = 'agent.key'

/** A fresh key and its certificate: one critical SubjectAltName, signed with SHA-512. */
export async function createSelfSignedCertificate(
  request: CertificateRequest,
): Promise<ServerCertificate> {
  const now = (request.now ?? Date.now)()
  const namedCurve = CURVES[request.curve ?? 'p384']
  const keys = await promisify(generateKeyPair)('ec', { namedCurve })
  const certificate = encodeSelfSigned({
    serialNumber: serialNumber(),
    commonName: request.hostname,
    address: request.address,
    notBefore: new Date(now - (request.clockSkewSeconds ?? 3600) * 1000),
    notAfter: new Date(now + (request.validDays ?? 30) * DAY_MS),
    keys,
  })
  return {
    cert: new X509Certificate(certificate).toString(),
    key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/**
 * The certificate of this boot: the one in `runDir` if it is for this address and still good for a day,
 * else a fresh one that is kept there. Throws InvalidConfigError if the directory cannot be used.
 */
export async function keepCertificate(
  request: CertificateRequest & {
    readonly runDir: string
    /** Makes it in place of a self-signed one; undefined where nobody does. */
    readonly make?: (() => Promise<ServerCertificate | undefined>) | undefined
  },
): Promise<ServerCertificate> {
  const state = openRunState(request.runDir)
  const kept = { cert: state.read(CERT_FILE), key: state.read(KEY_FILE) }
  const now = (request.now ?? Date.now)()
  if (kept.cert && kept.key && isUsable(kept.cert, request.address, now)) {
    return { cert: kept.cert, key: kept.key }
  }
  const fresh = (await request.make?.()) ?? (await createSelfSignedCertificate(request))
  state.write(KEY_FILE, fresh.key)
  state.write(CERT_FILE, fresh.cert)
  return fresh
}

function isUsable(pem: string, address: string, nowMs: number): boolean {
  try {
    const certificate = new X509Certificate(pem)
    const isFor = isIP(address) ? certificate.checkIP(address) : certificate.checkHost(address)
    return (
      isFor !== undefined &&
      certificate.validFromDate.getTime() <= nowMs &&
      certificate.validToDate.getTime() > nowMs + DAY_MS
    )
  } catch {
    // no certificate at all: a fresh one takes its place
    return false
  }
}

/** 20 octets, positive and without leading zeros (RFC 5280 4.1.2.2). */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(20)
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40
  return bytes
}
