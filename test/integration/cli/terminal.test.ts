// SPDX-License-Identifier: Apache-2.0
// The command at a real terminal: what stands on it in the end.
import { execFile, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { createSmallTerminal } from '../../support/small-terminal.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'

const MiB = 1024 * 1024
/** Wide enough for any line of the log. */
const COLUMNS = 4000
const hasScript = spawnSync('script', ['--version']).status === 0

test.skipIf(!hasScript)(
  'lines of the log and the line that is written over keep apart, with --json too',
  async () => {
    await using directory = await temporaryDirectory()
    const image = await makeDiskImage(join(directory.path, 'image.raw'), { sizeBytes: 8 * MiB })
    const disk = join(directory.path, 'disk')
    await writeFile(disk, new Uint8Array(16 * MiB))
    const words = ['write', image.path, disk, '--json', '--debug', '>/dev/null']
    const command = `stty cols ${COLUMNS} -opost; exec ${[...AGENT_COMMAND, ...words].join(' ')}`
    const flags = ['--quiet', '--return', '--command', command, '/dev/null']
    const { stdout } = await promisify(execFile)('script', flags)
    const terminal = createSmallTerminal(COLUMNS)
    terminal.write(stdout)
    const lines = terminal.lines().filter((line) => line !== '')
    const records = lines.filter((line) => line.startsWith('{'))
    expect(records.length).toBeGreaterThan(3)
    for (const record of records) expect(() => JSON.parse(record)).not.toThrow()
    const others = lines.filter((line) => !line.startsWith('{'))
    for (const other of others) expect(other).toMatch(/^(\d\/\d )?[a-z][^{}]*$/)
  },
)
