// SPDX-License-Identifier: Apache-2.0
// Owns the image server and the tracker of a swarm benchmark, on their own machine: nginx and
// opentracker from Debian. Counts what nginx sent. Does not shape traffic.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stopChild } from '../../support/processes.ts'
import type { Machine } from './network.ts'

const HTTP_PORT = 8080
const TRACKER_PORT = 6969

export interface Origin extends AsyncDisposable {
  /** Body bytes of all answers so far; an answer counts when it has ended. */
  sentBytes(): number
  requests(): number
}

/** Urls that nodes use, known before the origin runs: the torrent names them. */
export function originUrls(machine: Machine, file: string): { image: string; tracker: string } {
  return {
    image: `http://${machine.address}:${HTTP_PORT}/${file}`,
    tracker: `http://${machine.address}:${TRACKER_PORT}/announce`,
  }
}

/** Serves `folder` and tracks one torrent; `scratch` takes logs. */
export async function startOrigin(
  machine: Machine,
  { folder, infoHash, scratch }: { folder: string; infoHash: string; scratch: string },
): Promise<Origin> {
  const directory = join(scratch, 'origin')
  mkdirSync(directory, { recursive: true })
  const log = join(directory, 'access.log')
  // Debian builds opentracker for listed torrents only; it reads the list from its chroot
  writeFileSync(join(directory, 'whitelist'), `${infoHash}\n`)
  const file = join(directory, 'nginx.conf')
  writeFileSync(
    file,
    `user root; worker_processes 1; daemon off; pid ${directory}/pid; error_log ${directory}/error.log;
     events { worker_connections 1024; }
     http { log_format bytes '$body_bytes_sent $status'; access_log ${log} bytes;
       sendfile on; tcp_nopush on; keepalive_requests 100000;
       client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy;
       fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
       server { listen ${HTTP_PORT}; root ${folder}; } }\n`,
  )
  const children: ChildProcess[] = []
  const start = (...argv: readonly string[]) => {
    const [command, ...args] = [...machine.on, ...argv] as [string, ...string[]]
    children.push(spawn(command, args, { stdio: 'ignore', cwd: directory }))
  }
  start('nginx', '-c', file)
  start(
    'opentracker',
    '-p',
    `${TRACKER_PORT}`,
    '-P',
    `${TRACKER_PORT}`,
    '-u',
    'nobody',
    '-d',
    directory,
    '-w',
    'whitelist',
  )
  await listening(machine, [HTTP_PORT, TRACKER_PORT])
  const answers = () => {
    const lines = readFileSync(log, 'utf8').split('\n')
    return lines.filter((line) => line !== '').map((line) => Number(line.split(' ')[0]))
  }
  return {
    sentBytes: () => answers().reduce((sum, bytes) => sum + bytes, 0),
    requests: () => answers().length,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(children.map(stopChild))
    },
  }
}

/** Waits until the ports are bound, by the kernel's own list: a connection would be logged. */
async function listening(machine: Machine, ports: readonly number[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const argv = [...machine.on, 'cat', '/proc/net/tcp', '/proc/net/tcp6']
  const [command, ...args] = argv as [string, ...string[]]
  const endsAt = Date.now() + 10_000
  const look = () => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let table = ''
    child.stdout.on('data', (text) => (table += text))
    child.once('close', () => {
      const isBound = (port: number) =>
        new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 0A `).test(table)
      if (ports.every(isBound)) resolve()
      else if (Date.now() > endsAt) reject(new Error(`origin: ports ${ports} are not bound`))
      else setTimeout(look, 50)
    })
  }
  look()
  await promise
}
