import { describe, expect, test } from 'vitest'
import {
  isContainer,
  parseBootcRequest,
  parseContainerInfo,
} from '../../../../agent/deploy/bootc/request.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const AUTH = base64('deploy:not for others')
const from = (imageSource: unknown, more: object = {}, instanceInfo = {}) =>
  parseBootcRequest({ imageSource, pullSecret: null, configdrive: null, ...more }, instanceInfo)

describe('a bootable container', () => {
  test.each([
    ['oci://registry.example/os:1', 'registry.example/os:1'],
    ['oci://registry:5000/a/b@sha256:0123', 'registry:5000/a/b@sha256:0123'],
    ['oci://[fd00::1]:5000/os:1', '[fd00::1]:5000/os:1'],
  ])('%s is %s for podman', (source, reference) => {
    expect(from(source).reference).toBe(reference)
  })

  test.each(['docker://a/b', 'oci://--privileged/x', 'oci://host', 'oci://a/b c', '', 7, null])(
    '%j is none',
    (source) => {
      expect(() => from(source)).toThrow(
        expect.objectContaining({ type: 'InvalidCommandParamsError' }),
      )
    },
  )

  test('comes with a secret, keys and encryption, or without', () => {
    const info = { bootc_authorized_keys: 'ssh-ed25519 AAAA', bootc_tpm2_luks: 'True' }
    expect(from('oci://a/b:1', { pullSecret: base64(AUTH), configdrive: 'H4sI' }, info)).toEqual({
      ...{ reference: 'a/b:1', auth: AUTH, configdrive: 'H4sI' },
      ...{ authorizedKeys: 'ssh-ed25519 AAAA', hasTpm2Luks: true },
    })
    expect(from('oci://a/b:1')).toMatchObject({
      auth: null,
      authorizedKeys: null,
      hasTpm2Luks: false,
    })
  })

  test('has a secret that is what registry files have, and the error does not say what it was', () => {
    const pullSecret = base64('secret with blanks')
    expect(() => from('oci://a/b:1', { pullSecret })).toThrow(/pull secret is not base64/)
    expect(() => from('oci://a/b:1', { pullSecret })).not.toThrow(/blanks/)
  })

  test('may be an image_info, with basic credentials only', () => {
    const info = { id: 'os', disk_format: 'bootc', urls: ['oci://a/b:1'] }
    const header = (text: string) => ({ ...info, image_request_authorization: base64(text) })
    expect([isContainer(info), isContainer({ ...info, disk_format: 'raw' })]).toEqual([true, false])
    expect(parseContainerInfo(header(`Basic ${AUTH}`), 'H4sI', {})).toMatchObject({
      ...{ reference: 'a/b:1', auth: AUTH, configdrive: 'H4sI' },
    })
    expect(() => parseContainerInfo(header('Bearer token'), null, {})).toThrow(
      /podman cannot be told/,
    )
  })
})
