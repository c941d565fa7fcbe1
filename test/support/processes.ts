// SPDX-License-Identifier: Apache-2.0
// Owns what every test with processes needs: free ports, an orderly end, and finding those that are left.
import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'

/**
 * A TCP port of loopback that is free, and stays so until somebody listens on it: none that the kernel gives to
 * others in the meantime (ip_local_port_range begins at 32768), or to a connection that is being made to it.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const port = await listenOnce(randomInt(20_000, 32_000)).catch(() => undefined)
    if (port !== undefined) return port
  }
  throw new Error('no free TCP port between 20000 and 32000')
}

function listenOnce(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** Ends a child: SIGTERM, after 10 s SIGKILL; resolves when it is gone. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(timer)
}

/** Seconds that nobody else on this machine sleeps: who sleeps them, and the scripts that say so, are of this test. */
export function secondsOfOurOwn(): string {
  // as a port, a pid or a part of a digest five digits would be found with others; sleep(1) of BusyBox takes 31 bits
  return String(randomInt(1_000_000_000, 2 ** 31))
}

/** Command lines of this machine's processes that hold `word`; their words are parted by NUL. */
export async function processesWith(word: string): Promise<string[]> {
  return await commandLinesOf(async (pid) => (await readOf(pid, 'cmdline')).includes(word))
}

/** Command lines of this machine's processes in whose environment `word` is. */
export async function processesMarkedBy(word: string): Promise<string[]> {
  return await commandLinesOf(async (pid) => (await readOf(pid, 'environ')).includes(word))
}

async function commandLinesOf(isWanted: (pid: string) => Promise<boolean>): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (/^\d+$/.test(pid) && (await isWanted(pid))) found.push(await readOf(pid, 'cmdline'))
  }
  return found.filter((line) => line !== '').map((line) => line.replaceAll('\0', ' '))
}

/** Empty for a process that has ended. */
function readOf(pid: string, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
}
