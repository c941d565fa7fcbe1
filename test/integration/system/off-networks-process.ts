// SPDX-License-Identifier: Apache-2.0
// Owns the machine that leaves its networks, as a process to be put into a network of its own: prints which interfaces are
// up afterwards, and its log.

import { exec } from '../../../agent/system/exec.ts'
import { takeOffNetworks } from '../../../agent/system/net.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

const lines: string[] = []
const log = createLogger({ level: 'debug', destination: { write: (line) => lines.push(line) } })
const machineControl = process.argv[2] === 'log' ? 'log' : 'real'
await takeOffNetworks({ exec, root: createRoot('/'), log, machineControl })
const { stdout } = await exec(['ip', '-json', 'link', 'show'])
const links = JSON.parse(stdout) as { ifname: string; flags: string[] }[]
const up = links.filter(({ flags }) => flags.includes('UP')).map(({ ifname }) => ifname)
console.log(JSON.stringify({ up, log: lines }))
