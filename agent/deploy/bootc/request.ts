// SPDX-License-Identifier: Apache-2.0
// Owns what Ironic asks to be installed from a bootable container (contract 5.10): the arguments of the step
// execute_bootc_install, those of the command, and an image_info whose disk_format is bootc. Does not pull.
import { AgentError } from '../../core/errors.ts'
import { isObject, isTruthyWord, type JsonObject, objectAt, stringAt } from '../../core/json.ts'
import type { ConfigDriveText } from '../../image/request/image-info.ts'
import { parseConfigdrive } from '../write-request.ts'

export interface BootcRequest {
  /** As podman takes it: `registry/name:tag`, `registry/name@sha256:…`. */
  readonly reference: string
  /** Secret: what containers-auth.json(5) calls `auth`, base64 of `user:password`; null for none. */
  readonly auth: string | null
  readonly configdrive: ConfigDriveText | null
  /** Of root in the instance; null for none. */
  readonly authorizedKeys: string | null
  /** The root file system is encrypted, and opened by the TPM. */
  readonly hasTpm2Luks: boolean
}

/** A reference with a registry; what begins with a dash would be an option of podman. */
const REFERENCE = /^oci:\/\/([\w[][\w.:[\]-]*\/[\w./:@-]+)$/

/**
 * What the step and the command say. The node's instance_info tells of keys and of encryption.
 * @throws AgentError InvalidCommandParamsError
 */
export function parseBootcRequest(
  args: {
    readonly imageSource: unknown
    readonly pullSecret: unknown
    readonly configdrive: unknown
  },
  instanceInfo: JsonObject,
): BootcRequest {
  return {
    reference: referenceOf(args.imageSource),
    auth: pullSecret(args.pullSecret),
    configdrive: parseConfigdrive(args.configdrive),
    ...fromInstanceInfo(instanceInfo),
  }
}

/** True for an image_info that is no image but a bootable container: Ironic's direct deploy of `oci://…` sends it. */
export function isContainer(imageInfo: unknown): imageInfo is JsonObject {
  return isObject(imageInfo) && imageInfo['disk_format'] === 'bootc'
}

/**
 * What such an image_info says.
 * @throws AgentError InvalidCommandParamsError; InvalidImage for a token that podman cannot be told
 */
export function parseContainerInfo(
  imageInfo: JsonObject,
  configdrive: unknown,
  instanceInfo: JsonObject,
): BootcRequest {
  const urls = imageInfo['urls']
  return {
    reference: referenceOf(Array.isArray(urls) ? urls[0] : undefined),
    auth: basicAuth(stringAt(imageInfo, 'image_request_authorization')),
    configdrive: parseConfigdrive(configdrive ?? imageInfo['configdrive']),
    ...fromInstanceInfo(instanceInfo),
  }
}

function referenceOf(source: unknown): string {
  const found = typeof source === 'string' ? REFERENCE.exec(source)?.[1] : undefined
  if (found !== undefined) return found
  throw invalid('a bootable container is named by oci://registry/name:tag or …@sha256:…')
}

/** Ironic encodes what the registry's file has, which is base64 by itself. */
function pullSecret(value: unknown): string | null {
  if (value === null || value === undefined || value === '') return null
  const text = typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : ''
  if (/^[\w+/=-]+$/.test(text)) return text
  throw invalid('the pull secret is not base64 of what a registry file has as auth')
}

/** Base64 of a whole header. */
function basicAuth(value: string | undefined): string | null {
  if (value === undefined || value === '') return null
  const found = /^Basic ([\w+/=-]+)$/i.exec(Buffer.from(value, 'base64').toString('utf8'))?.[1]
  if (found !== undefined) return found
  throw new AgentError(
    'InvalidImage',
    'image_request_authorization holds a token, which podman cannot be told; deploy with the bootc deploy interface, ' +
      'which sends a pull secret',
  )
}

function fromInstanceInfo(instanceInfo: JsonObject) {
  const keys = stringAt(instanceInfo, 'bootc_authorized_keys')
  return {
    authorizedKeys: keys ?? null,
    hasTpm2Luks: isTruthyWord(String(instanceInfo['bootc_tpm2_luks'])),
  }
}

/** The node's, where there is one. */
export function instanceInfoOf(node: JsonObject | undefined): JsonObject {
  return objectAt(node, 'instance_info')
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
