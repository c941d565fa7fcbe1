// SPDX-License-Identifier: Apache-2.0
// Owns the command tree: names, flags, help. Each command's file is imported only when it runs, so that
// `--help` and `config` do not wait for webtorrent. Does not do any command's work.
import { Command, CommanderError } from 'commander'
import { addConfigFlags, type CommandLine } from './command-line.ts'
import { EXIT_CODES, errorLine, exitCodeHelp, exitCodeOf } from './exit-codes.ts'

const CONFIGDRIVE_DOC = 'file with the config drive: URL or base64 of a gzipped image'

const BOOT_DOC =
  'then end this system and start the instance, by kexec where its kernel can be found'
const BOOT_HELP = `
--boot does not ask before it ends this system, closes nobody's session, and does not change what the firmware
boots: without a kernel that it finds, reads and may load, the machine is rebooted as it is set up. It reads menus of
GRUB and systemd-boot, entries of the Boot Loader Specification and names below /boot; no LVM, no encrypted
volumes, no unified kernel images. It wants a disk of this machine: a file, a partition and a loop device are refused.`

type Action = (line: CommandLine, command: Command) => Promise<void>

/**
 * Parses and runs one command line. Never rejects: a failure is one line on stderr and an exit code.
 * @param argv without node and script
 * @returns the exit code
 */
export async function runCommandLine(argv: readonly string[], line: CommandLine): Promise<number> {
  try {
    await createProgram(line, argv).parseAsync([...argv], { from: 'user' })
    return EXIT_CODES.ok.code
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT_CODES.ok.code : EXIT_CODES.usage.code
    }
    line.stderr.write(`${errorLine(error)}\n`)
    return exitCodeOf(error)
  }
}

/**
 * The command tree. Flags of the configuration are made for the commands that `argv` names: there are
 * hundreds, and making all of them takes as long as the rest of the start.
 * @param argv left out: for every command, as docs/cli.md wants them
 */
export function createProgram(line: CommandLine, argv?: readonly string[]): Command {
  const program = new Command('ironswarm')
    .description('Deploy agent for OpenStack Ironic that writes images from a BitTorrent swarm')
    .version(line.version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => line.stdout.write(text),
      writeErr: (text) => line.stderr.write(text),
      outputError: (text, write) =>
        write(`ironswarm: ${text.trim().replace(/^error: /, '')}; see ironswarm --help\n`),
    })
    .addHelpText('after', exitCodeHelp())
  const add = (
    parent: Command,
    name: string,
    doc: string,
    load: () => Promise<Action>,
    areOptionsShown = false,
  ) => {
    const made = parent.command(name).description(doc)
    if (argv === undefined || argv.includes(name)) addConfigFlags(made, areOptionsShown)
    return made.action(async (_options, command: Command) => (await load())(line, command))
  }
  addDeployCommands(program, add)
  addSwarmCommands(program, add)
  addNetworkCommands(program, add)
  add(
    program,
    'run',
    'be the deploy agent: look the node up, serve the API, heartbeat',
    async () => (await import('./run.ts')).runRun,
    true,
  ).option('--start-after <file>', 'wait until this file is there, at most 3 minutes')
  add(
    program,
    'inventory',
    'print the hardware inventory as JSON',
    async () => (await import('./inventory.ts')).runInventory,
  )
  add(
    program,
    'inspect',
    'print what in-band inspection would post, as JSON',
    async () => (await import('./inventory.ts')).runInspect,
  )
  add(
    program,
    'config',
    'print every option, its value and where that comes from',
    async () => (await import('./config.ts')).runConfig,
    true,
  )
    .option('--json', 'one JSON object')
    .option('--markdown', 'the option table of docs/configuration.md')
  return program
}

type Add = (
  parent: Command,
  name: string,
  doc: string,
  load: () => Promise<Action>,
  areOptionsShown?: boolean,
) => Command

function addDeployCommands(program: Command, add: Add): void {
  const imageFlags = (command: Command) =>
    command
      .requiredOption('--image-info <file>', 'JSON file with image_info as Ironic sends it')
      .requiredOption('--device <path>', 'block device or regular file')
      .option('--json', 'the last line of stdout is one JSON object; logs go to stderr')
  imageFlags(
    add(
      program,
      'write',
      'write an image to a device, read it back, verify it',
      async () => (await import('./write.ts')).runWrite,
    ),
  )
    .option('--configdrive <file>', CONFIGDRIVE_DOC)
    .option('--boot', BOOT_DOC)
    .addHelpText('after', BOOT_HELP)
  imageFlags(
    add(
      program,
      'plan',
      'say what write would do, touching nothing',
      async () => (await import('./plan.ts')).runPlan,
    ),
  ).option('--configdrive <file>', CONFIGDRIVE_DOC)
  imageFlags(
    add(
      program,
      'verify',
      'read a device back and compare it with the checksum of image_info',
      async () => (await import('./verify.ts')).runVerify,
    ),
  ).option(
    '--length <bytes>',
    'length of the image; neither its server nor its torrent is then asked',
  )
}

function addNetworkCommands(program: Command, add: Add): void {
  const network = program.command('network').description('the network of this machine')
  add(
    network,
    'plan',
    'print the ip commands that a network_data.json asks for, touching nothing',
    async () => (await import('./network/network.ts')).runNetworkPlan,
  ).requiredOption('--network-data <file>', 'network_data.json of a config drive')
  add(
    network,
    'apply',
    'run them; print the interfaces that DHCP must leave alone, one a line',
    async () => (await import('./network/network.ts')).runNetworkApply,
  )
    .requiredOption('--network-data <file>', 'network_data.json of a config drive')
    .option('--resolv-conf <file>', 'write its name servers into this file, if it has any')
  add(
    network,
    'vlans',
    'make the VLAN interfaces of enable_vlan_interfaces; print their names',
    async () => (await import('./network/network.ts')).runNetworkVlans,
  )
}

function addSwarmCommands(program: Command, add: Add): void {
  add(
    program,
    'seed',
    'serve an image to the swarm until Ctrl-C',
    async () => (await import('./seed.ts')).runSeed,
  )
    .requiredOption('--path <path>', 'image file or device')
    .option('--torrent <file>', 'its .torrent; made from the image if left out')
    .option('--output <file>', 'where a .torrent that is made goes; IMAGE.torrent if left out')
    .option('--force', 'replace a .torrent that is there')
    .option('--length <bytes>', 'length of the image, where the device is larger')
    .option('--tracker <url...>', 'announce URL besides those of the torrent')
  const torrent = program.command('torrent').description('make and show .torrent files')
  add(
    torrent,
    'create',
    'make a .torrent of an image file',
    async () => (await import('./torrent.ts')).runTorrentCreate,
  )
    .requiredOption('--path <path>', 'image file or device')
    .requiredOption('--output <file>', 'the .torrent to write')
    .option('--zstd <file>', 'pack the raw image into this file, and make the .torrent of that')
    .option('--force', 'replace a file that is there')
    .option('--length <bytes>', 'length of the image, where the device is larger')
    .option('--piece-length <bytes>', 'a power of two, for example 4M; chosen by size if left out')
    .option('--tracker <url...>', 'announce URL')
    .option('--web-seed <url...>', 'HTTP URL of the image')
    .option('--json', 'print the result as one JSON object')
  add(
    torrent,
    'show',
    'print what a .torrent says',
    async () => (await import('./torrent.ts')).runTorrentShow,
  )
    .requiredOption('--torrent <file>', 'the .torrent')
    .option('--json', 'one JSON object')
}
