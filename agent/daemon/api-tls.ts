// SPDX-License-Identifier: Apache-2.0
// Owns the choice of the certificate the API is served with (contract 3.5). Does not make certificates;
// ironic/certificate.ts does.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { hostname } from 'node:os'
import type { ApiTls } from '../api/http-server.ts'
import type { Config } from '../config/options.ts'
import { AgentError, isAgentError, messageOf } from '../core/errors.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { readPem } from '../http/tls.ts'
import { keepCertificate, type ServerCertificate } from '../ironic/certificate.ts'
import { API_MINOR, type IronicClient } from '../ironic/client.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface ChosenTls {
  readonly api: ApiTls
  /** PEM, sent with heartbeats; absent for the operator's own certificate. */
  readonly verifyCa?: string
}

export interface TlsRequest {
  readonly config: Config
  /** Who would be told of a certificate of our own, and the address to make it out to. */
  readonly reader: { readonly client: IronicClient; readonly address: string } | undefined
  readonly hardware: Pick<Hardware, 'dispatch'>
  readonly log: Pick<Logger, 'warn'>
  readonly signal: AbortSignal
  /** Wall clock, ms. */
  readonly now: () => number
}

/**
 * The operator's certificate, else one of our own where the API version can carry it; undefined for plain
 * HTTP. Throws InvalidConfigError for files that are not named or cannot be read.
 */
export async function chooseTls(request: TlsRequest): Promise<ChosenTls | undefined> {
  const { config, reader, signal, now } = request
  const bounds = { minVersion: config.tls_min_version, cipherSuites: config.tls_cipher_suites }
  if (config.listen_tls) {
    const { tls_cert_file: certFile, tls_key_file: keyFile } = config
    if (certFile === null || keyFile === null) {
      throw new AgentError(
        'InvalidConfigError',
        'listen_tls needs tls_cert_file and tls_key_file; set both or switch listen_tls off',
      )
    }
    const cert = readPem(certFile, 'tls_cert_file')
    const key = readPem(keyFile, 'tls_key_file')
    return { api: { cert, key, ...bounds } }
  }
  if (!config.enable_auto_tls || !reader) return undefined
  if ((await reader.client.apiMinor(signal)) < API_MINOR.agentVerifyCa) return undefined
  const { cert, key } = await keepCertificate({
    address: reader.address,
    hostname: hostname(),
    runDir: config.run_dir,
    curve: config.tls_certificate_curve,
    clockSkewSeconds: config.auto_tls_allowed_clock_skew,
    now,
    make: () => certificateOfManager(request, reader.address),
  })
  return { api: { cert, key, ...bounds }, verifyCa: cert }
}

/** By a hardware manager. Undefined where none makes one, or one that cannot be used, with a warning. */
async function certificateOfManager(
  { hardware, log }: TlsRequest,
  address: string,
): Promise<ServerCertificate | undefined> {
  try {
    const { certificate, key } = await hardware.dispatch('generateTlsCertificate', address)
    if (new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
      return { cert: certificate, key }
    }
    log.warn({ address }, 'certificate of a hardware manager left out: its key is another one')
  } catch (error) {
    if (!isAgentError(error, 'HardwareManagerMethodNotFound')) {
      log.warn({ reason: messageOf(error) }, 'certificate of a hardware manager left out')
    }
  }
  return undefined
}
