// Blobs of a real registry, by the header that Ironic hands on in image_request_authorization.
import { describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { authorizationOf } from '../../../agent/sources/http/authorization.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { startDockerRegistry } from '../../support/docker-registry.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasPackages } from '../../support/packages.ts'

const image = randomBytes(3_000_000)
const NOTHING_SET = {
  image_server_auth_strategy: 'noauth',
  image_server_user: null,
  image_server_password: null,
} as const

/** As Ironic 39 sends it for `oci://` (image_info of a deploy step). */
const handedOn = (header: string) =>
  authorizationOf(
    { image_request_authorization: Buffer.from(header).toString('base64') },
    NOTHING_SET,
  ) as string

async function fetchBlob(url: string, authorization: string | undefined): Promise<string> {
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length)
  const options = imageOptions(client, [url], authorization ? { authorization } : {})
  await createHttpSource(options).deliver(disk.request())
  return sha256(disk.bytes)
}

describe.runIf(hasPackages('registry'))('a blob of docker-registry', () => {
  test('comes with the header that Ironic hands on', async () => {
    await using registry = await startDockerRegistry()
    const url = await registry.push(image)
    expect(await fetchBlob(url, handedOn(registry.authorization))).toBe(sha256(image))
  })

  test.each([
    ['no header', undefined],
    ['another one', 'Basic ZGVwbG95Ondyb25n'],
  ])('does not come with %s, and the error says 401', async (_what, header) => {
    await using registry = await startDockerRegistry()
    const url = await registry.push(image)
    const failed = fetchBlob(url, header && handedOn(header))
    await expect(failed).rejects.toThrow('401')
    await expect(failed).rejects.not.toThrow('ZGVwbG95Ondyb25n')
  })

  test('comes from the store that the registry names, which never sees the header', async () => {
    const digest = sha256(image)
    const name = `docker/registry/v2/blobs/sha256/${digest.slice(0, 2)}/${digest}/data`
    await using store = await createHttpOrigin({ bytes: image, name })
    await using registry = await startDockerRegistry({ redirectTo: store.baseUrl })
    const url = await registry.push(image)
    expect(await fetchBlob(url, handedOn(registry.authorization))).toBe(digest)
    expect(store.requests.length).toBeGreaterThan(0)
    for (const { headers } of store.requests) expect(headers.authorization).toBeUndefined()
  })
})
