// The commands that the pages tell operators to type, with the tracker that Debian ships.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { hasPackages } from '../../support/packages.ts'
import { freePort } from '../../support/processes.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, torrentOf } from './lab.ts'

const PAGE = 'docs/building-the-ramdisk.md'
const { node } = keptSwarm()

let shell: ChildProcess | undefined
afterEach(() => {
  // with all that it has started
  if (shell?.pid !== undefined) process.kill(-shell.pid)
  shell = undefined
})

/** The block of shell commands with this word in it. */
async function documented(word: string): Promise<string> {
  const blocks = (await readFile(PAGE, 'utf8')).match(/```sh\n[^`]*```/g) ?? []
  const block = blocks.find((text) => text.includes(`\n   ${word} `))
  expect(block, `${word} in ${PAGE}`).toBeDefined()
  return block?.replaceAll('```sh', '').replaceAll('```', '') ?? ''
}

// it changes its root, and Debian's package is Debian's
test.runIf(process.getuid?.() === 0 && hasPackages('interop'))(
  'nodes find each other by opentracker, started as the page says',
  async () => {
    const folder = await mkdtemp('/tmp/ironswarm-opentracker-')
    try {
      const port = await freePort()
      const url = `http://127.0.0.1:${port}/announce`
      const image = imageBytes(MiB)
      const { torrentFile, metainfo } = await torrentOf(image, { trackers: [url] })
      await writeFile(join(folder, 'x.torrent'), torrentFile)
      const commands = (await documented('opentracker'))
        // the machine of a test has no services
        .replace(/^ *systemctl .*$/m, '')
        .replaceAll('6969', String(port))
        .replaceAll('/srv/tracker', join(folder, 'tracker'))
        .replaceAll(/\S+\.torrent\b/g, join(folder, 'x.torrent'))
        .replaceAll('agent/ironswarm', AGENT_COMMAND.join(' '))
      expect(commands).toContain(`opentracker -p ${port} -P ${port}`)
      shell = spawn('sh', ['-ec', commands], { detached: true, cwd: tmpdir(), stdio: 'ignore' })
      node({ metainfo, trackers: [url], ...havingAll(image) })
      const overUdp = node({ metainfo, trackers: [`udp://127.0.0.1:${port}`] })
      await overUdp.delivered
      expect(sha256(overUdp.disk)).toBe(sha256(image))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)
