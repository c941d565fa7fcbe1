// Every form of secret against what a real process of the agent shows: its output, its status, and the command lines
// of all that it starts. (What it was given in its environment, only root reads.)
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAgent } from '../../support/agent-process.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createFakeIronic } from '../../support/fake-ironic.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { noteProgramsIn } from '../../support/noted-programs.ts'
import { hasPackages } from '../../support/packages.ts'
import { createRawServer } from '../../support/raw-server.ts'
import { SECRET, SECRET_FORMS, secretsIn } from '../../support/secrets.ts'
import { makeConfigDrive } from '../image/partition-lab.ts'
import { run, start } from './ironswarm.ts'

const MiB = 1024 * 1024
const FORMS = Object.values(SECRET_FORMS)
/** One behind the other; what is cut off takes what follows for its rest. */
const ALL = Object.entries(SECRET_FORMS)
  .filter(([name]) => !name.endsWith('cut off'))
  .map(([, form]) => form)
  .join(' ')
const UUID = '28ebd8e5-9f13-4275-a0ae-8e7cfed781e6'
const MAC = '52:54:00:00:00:01'
const canRun = hasLoopDevices('what processes show') && hasPackages('agent')

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ironswarm-secrets-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function infoFile(fields: object): Promise<string> {
  const path = join(directory, 'image-info.json')
  const hash = { os_hash_algo: 'sha256', os_hash_value: '0'.repeat(64) }
  await writeFile(path, JSON.stringify({ id: 'x', disk_format: 'raw', ...hash, ...fields }))
  return path
}

const flags = (info: string, device = join(directory, 'disk')) => [
  ...['--image-info', info, '--device', device],
  ...['--image-download-connection-retries', '0', '--debug'],
]

describe('no secret is in what a command says', () => {
  const inHead = (text: string) => text.replaceAll('\n', ' ')
  const ANSWERS: [string, string][] = [
    ['every one in a Content-Range', `206 Partial Content\r\nContent-Range: ${inHead(ALL)}`],
    ...['user and password of a url', 'access_token percent-encoded', 'S3'].map(
      (name): [string, string] => [
        `${name}, in a Location`,
        `302 Found\r\nLocation: ${SECRET_FORMS[name]}`,
      ],
    ),
  ]
  test.each(ANSWERS)('of an image server that answers with %s', async (_name, answer) => {
    await writeFile(join(directory, 'disk'), new Uint8Array(8 * MiB))
    await using server = await createRawServer((_request, socket) => {
      socket.end(`HTTP/1.1 ${answer}\r\nContent-Length: 0\r\n\r\n`)
    })
    const urls = [`http://127.0.0.1:${server.port}/image.raw`]
    const { code, stdout, stderr } = await run('write', ...flags(await infoFile({ urls })))
    expect(code).not.toBe(0)
    expect(server.requests.length).toBeGreaterThan(0)
    expect(stdout + stderr).toContain('image url failed')
    expect(secretsIn(stdout + stderr)).toEqual([])
  })

  test.each(['plan', 'write', 'verify'])('%s, of what it is told', async (verb) => {
    await writeFile(join(directory, 'disk'), new Uint8Array(8 * MiB))
    let shown = ''
    for (const fields of [
      { urls: FORMS },
      { urls: [`http://127.0.0.1:9/x?a=${encodeURIComponent(ALL)}`] },
      { urls: ['http://127.0.0.1:9/x'], os_hash_value: `no url: ${ALL}` },
      { urls: ['http://127.0.0.1:9/x'], os_hash_algo: ALL },
      { urls: ['http://127.0.0.1:9/x'], disk_format: ALL },
    ]) {
      const ended = await run(verb, ...flags(await infoFile(fields)))
      expect(ended.code).not.toBe(0)
      shown += ended.stdout + ended.stderr
    }
    expect(shown).toContain('***')
    expect(secretsIn(shown)).toEqual([])
  })
})

/** Command lines of a process and of all that it has started, as anybody on the machine reads them. */
const shownBy = async (pid: number | undefined, programs: readonly string[]) =>
  [await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => ''), ...programs].join('\n')

describe.runIf(canRun)('no secret is in the process list', () => {
  let image: DiskImage
  beforeAll(async () => {
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 16 * MiB })
  })

  const withSecrets = (url: string) =>
    `${url.replace('://', `://user:${SECRET}@`)}?X-Amz-Signature=${SECRET}&access_token=${SECRET}`
  const secretInfo = (url: string) => ({
    urls: [withSecrets(url)],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: image.sha256,
    image_request_authorization: Buffer.from(`Basic ${btoa(`user:${SECRET}`)}`).toString('base64'),
  })
  const auth = { user: 'user', password: SECRET }

  test('while ironswarm write runs, nor in what it says', async () => {
    const programs = await noteProgramsIn(join(directory, 'write'))
    await using origin = await createHttpOrigin({ path: image.path, auth })
    await using disk = await createLoopDevice({ sizeBytes: 32 * MiB, directory })
    const argv = ['write', ...flags(await infoFile(secretInfo(origin.url)), disk.path)]
    const writing = start(argv, { PATH: programs.path })
    await writing.says(/image planned/)
    const shown = await shownBy(writing.child.pid, [])
    const { code, stdout, stderr } = await writing.finished
    expect(code).toBe(0)
    expect(shown).toContain('--image-info')
    const lines = await programs.lines()
    expect(lines).toContainEqual(expect.stringMatching(/^(?:lsblk|blockdev|udevadm) /))
    expect(secretsIn([shown, ...lines, stdout, stderr].join('\n'))).toEqual([])
  })

  test('while an agent deploys, nor in its log and status', async () => {
    const programs = await noteProgramsIn(join(directory, 'deploy'))
    await using origin = await createHttpOrigin({ path: image.path, auth })
    await using drive = await createHttpOrigin({ path: await configDrive() })
    await using disk = await createLoopDevice({ sizeBytes: 128 * MiB, directory })
    await using ironic = await createFakeIronic({
      nodes: [{ uuid: UUID, mac: MAC }],
      sendTokenOnGet: true,
    })
    const outcome = ironic.deploy(UUID, {
      imageInfo: secretInfo(origin.url),
      configdrive: withSecrets(drive.url),
    })
    await using agent = await startAgent({
      name: 'secrets',
      mac: MAC,
      device: disk.path,
      apiUrl: ironic.url,
      directory: join(directory, 'machine'),
      options: { swarm_mode: 'off', image_server_password: SECRET, image_server_user: 'user' },
      on: ['env', `PATH=${programs.path}`],
    })
    // it is forgotten when the node has its instance
    const tokenOf = () => ironic.nodes.get(UUID)?.token ?? ''
    await expect.poll(tokenOf, { timeout: 60_000 }).toMatch(/^[\w-]{16,}$/)
    const token = tokenOf()
    const statuses: string[] = []
    let isOver = false
    const over = outcome.finally(() => {
      isOver = true
    })
    while (!isOver) {
      statuses.push(JSON.stringify(await ironic.agentStatus(UUID)) ?? '')
      await delay(200)
    }
    expect(await over).toMatchObject({ error: null })
    const log = await agent.log()
    expect(log).toContain('image planned')
    const lines = await programs.lines()
    expect(lines).toContainEqual(expect.stringMatching(/^lsblk /))
    const status = statuses.join('\n')
    expect(status).toContain('rate_per_second')
    for (const text of [await shownBy(agent.child.pid, lines), log, status]) {
      expect(secretsIn(text)).toEqual([])
      expect(text).not.toContain(token)
    }
  })

  /** As Ironic keeps it where it has a store for it: a file behind a signed url. */
  async function configDrive(): Promise<string> {
    const path = join(directory, 'configdrive')
    await writeFile(path, await makeConfigDrive())
    return path
  }
})
