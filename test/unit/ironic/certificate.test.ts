import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import '../../support/reflect-metadata.ts'
import * as x509 from '@peculiar/x509'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSelfSignedCertificate, keepCertificate } from '../../../agent/ironic/certificate.ts'
import { encodeSelfSigned } from '../../../agent/ironic/certificate-der.ts'
import { temporaryDirectory } from '../../support/agent-in-process.ts'

const NOW = Date.UTC(2026, 10, 21, 12)

describe('the self-signed certificate', () => {
  test('is for the advertised address only, valid from an hour ago for 30 days, on P-384 with SHA-512', async () => {
    const { cert, key } = await createSelfSignedCertificate({
      address: '192.0.2.7',
      hostname: 'node-7',
      now: () => NOW,
    })
    const parsed = new X509Certificate(cert)
    expect(parsed.subject).toBe('CN=node-7')
    expect(parsed.issuer).toBe('CN=node-7')
    expect(parsed.subjectAltName).toBe('IP Address:192.0.2.7')
    expect(parsed.validFromDate.getTime()).toBe(NOW - 3_600_000)
    expect(parsed.validToDate.getTime()).toBe(NOW + 30 * 86_400_000)
    expect(parsed.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'secp384r1' })
    expect(parsed.signatureAlgorithm).toBe('ecdsa-with-SHA512')
    expect(parsed.verify(parsed.publicKey)).toBe(true)
    expect(parsed.checkPrivateKey(createPrivateKey(key))).toBe(true)
    // id-ce-subjectAltName (2.5.29.17) followed by BOOLEAN TRUE: the extension is critical
    expect(parsed.raw.toString('hex')).toContain('0603551d110101ff')
    expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
  })

  test.each([
    ['p256', 'prime256v1'],
    ['p521', 'secp521r1'],
  ] as const)('can be on %s', async (curve, name) => {
    const { cert } = await createSelfSignedCertificate({ address: '::1', hostname: 'x', curve })
    expect(new X509Certificate(cert).publicKey.asymmetricKeyDetails).toEqual({ namedCurve: name })
    expect(new X509Certificate(cert).checkIP('::1')).toBe('::1')
  })

  test('has another serial number each time', async () => {
    const request = { address: '::1', hostname: 'x' }
    const [a, b] = await Promise.all([0, 1].map(() => createSelfSignedCertificate(request)))
    const serials = [a, b].map((made) => new X509Certificate(made?.cert ?? '').serialNumber)
    expect(new Set(serials).size).toBe(2)
    expect(serials[0]).toMatch(/^[4-7][0-9A-F]{39}$/)
  })
})

describe('the bytes of a certificate', () => {
  const keys = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}(\.[a-z0-9-]{1,62}){0,3}$/)

  test('say the same to OpenSSL and to another library, whatever name, address and time', () => {
    fc.assert(
      fc.property(
        name,
        fc.oneof(fc.ipV4(), fc.ipV6(), name),
        fc.date({ min: new Date('1970-01-01'), max: new Date('2199-12-31'), noInvalidDate: true }),
        fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => {
          bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40
          return bytes
        }),
        (commonName, address, notBefore, serialNumber) => {
          const notAfter = new Date(notBefore.getTime() + 86_400_000)
          const fields = { serialNumber, commonName, address, notBefore, notAfter, keys }
          const bytes = encodeSelfSigned(fields)
          const read = new X509Certificate(bytes)
          expect(read.subject).toBe(`CN=${commonName}`)
          if (isIP(address)) expect(read.checkIP(address)).toBe(address)
          else expect(read.subjectAltName).toBe(`DNS:${address}`)
          expect(read.serialNumber).toBe(Buffer.from(serialNumber).toString('hex').toUpperCase())
          expect(read.verify(keys.publicKey)).toBe(true)
          const other = new x509.X509Certificate(bytes)
          const seconds = (time: Date) => Math.floor(time.getTime() / 1000)
          expect(seconds(other.notBefore)).toBe(seconds(notBefore))
          expect(seconds(other.notAfter)).toBe(seconds(notAfter))
          expect(read.validToDate.getTime()).toBe(other.notAfter.getTime())
          expect(other.getExtension(x509.SubjectAlternativeNameExtension)?.critical).toBe(true)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('the certificate of a boot', () => {
  test.each(['192.0.2.7', '2001:db8:0:0::1', 'agent.example.org'])(
    'for %s stays the same when the process starts again',
    async (address) => {
      await using directory = await temporaryDirectory()
      const request = { address, hostname: 'x', runDir: directory.path }
      const first = await keepCertificate(request)
      expect(await keepCertificate(request)).toEqual(first)
      expect(statSync(join(directory.path, 'agent.key')).mode & 0o777).toBe(0o600)
    },
  )

  test('is replaced when the address is another, when it runs out, and when it lies in the future', async () => {
    await using directory = await temporaryDirectory()
    const request = { address: '192.0.2.7', hostname: 'x', runDir: directory.path, now: () => NOW }
    const first = await keepCertificate(request)
    const changes = [
      { ...request, now: () => NOW + 29.5 * 86_400_000 },
      { ...request, now: () => NOW - 2 * 3_600_000 },
      { ...request, address: '192.0.2.8' },
    ]
    const made = [first.cert]
    for (const change of changes) made.push((await keepCertificate(change)).cert)
    expect(new Set(made).size).toBe(4)
  })
})
