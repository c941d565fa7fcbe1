// SPDX-License-Identifier: Apache-2.0
// Owns noting how programs are started: a folder for the front of PATH, whose names write their arguments down and
// then become the real program. So the command line of one that runs for a millisecond is seen too.
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin']

export interface NotedPrograms {
  /** To be the PATH of whoever is watched. */
  readonly path: string
  /** What was started, a command line each. */
  lines(): Promise<string[]>
}

export async function noteProgramsIn(directory: string): Promise<NotedPrograms> {
  const [names, notes] = [join(directory, 'programs'), join(directory, 'program-lines')]
  await mkdir(names, { recursive: true })
  const script = join(directory, 'note-program')
  await writeFile(
    script,
    `#!/bin/sh
name="\${0##*/}"
printf '%s\\n' "$name $*" >> '${notes}'
for folder in ${FOLDERS.join(' ')}; do [ -x "$folder/$name" ] && exec "$folder/$name" "$@"; done
exit 127
`,
  )
  await chmod(script, 0o755)
  await writeFile(notes, '')
  const found = await Promise.all(FOLDERS.map((folder) => readdir(folder).catch(() => [])))
  // the shell that notes is none of whoever is watched
  const programs = new Set(found.flat().filter((name) => name !== 'sh'))
  await Promise.all([...programs].map((name) => symlink(script, join(names, name))))
  return {
    path: `${names}:${process.env['PATH']}`,
    lines: async () => (await readFile(notes, 'utf8')).split('\n').filter(Boolean),
  }
}
