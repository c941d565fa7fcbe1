// SPDX-License-Identifier: Apache-2.0
// Owns an nginx on loopback that serves a folder: the fastest real web seed there is here, so that a
// benchmark measures the agent and not its server.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, stopChild } from './processes.ts'

const NGINX = '/usr/sbin/nginx'

export interface Nginx extends AsyncDisposable {
  readonly url: string
}

/** Serves `folder`; undefined where nginx is not installed. */
export async function startNginx(folder: string): Promise<Nginx | undefined> {
  if (!existsSync(NGINX)) return undefined
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-nginx-'))
  const port = await freePort()
  const file = join(directory, 'nginx.conf')
  await writeFile(
    file,
    `user root; worker_processes 1; daemon off; pid ${directory}/pid; error_log ${directory}/error.log;
     events { worker_connections 256; }
     http { access_log off; sendfile on; tcp_nopush on;
       client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy;
       fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
       server { listen 127.0.0.1:${port}; root ${folder}; } }\n`,
  )
  const child = spawn(NGINX, ['-c', file], { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  for (let attempt = 0; attempt < 100; attempt++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      break
    await delay(50)
  }
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      await stopChild(child)
      await rm(directory, { recursive: true, force: true })
    },
  }
}
