// SPDX-License-Identifier: Apache-2.0
// Owns throw-away certificates for TLS tests: an authority, a server for loopback, a client. With key identifiers and
// key usage, as Python from 3.13 on asks for them (VERIFY_X509_STRICT, RFC 5280 4.2.1). No openssl command needed.
import './reflect-metadata.ts'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

export interface PemPair {
  readonly key: string
  readonly cert: string
}

export interface TestAuthority {
  /** The authority's certificate, PEM. */
  readonly ca: string
  /** A server certificate for 127.0.0.1, ::1 and localhost. */
  readonly server: PemPair
  readonly client: PemPair
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A new authority with one server and one client certificate. */
export async function createTestAuthority(name = 'test authority'): Promise<TestAuthority> {
  const keys = await generateKeys()
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const issue = async (subject: string, extensions: x509.Extension[]): Promise<PemPair> => {
    const pair = await generateKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${subject}`,
      issuer: authority.subject,
      publicKey: pair.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        ...extensions,
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
      ],
    })
    return { cert: certificate.toString('pem'), key: await privatePem(pair.privateKey) }
  }
  return {
    ca: authority.toString('pem'),
    server: await issue('127.0.0.1', [
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '::1' },
        { type: 'dns', value: 'localhost' },
      ]),
    ]),
    client: await issue('deploy agent', []),
  }
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}
