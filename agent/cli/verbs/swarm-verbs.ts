// SPDX-License-Identifier: Apache-2.0
// Owns the commands of a swarm: seed, torrent create, torrent show. Flags and help; the work is swarm/'s.
import { Option } from 'commander'
import type { Verb } from '../verb.ts'
import { SORT_KEYS } from '../watch/table.ts'
import { type Add, addGroup } from './adding.ts'

const TRACKER = 'http://tracker:6969/announce'

export function addSwarmVerbs(program: Verb, add: Add): void {
  add(
    program,
    'seed',
    'serve an image to the swarm until Ctrl-C',
    async () => (await import('../swarm/seed.ts')).runSeed,
  )
    .needs('--path <path>', 'image file or device')
    .option('--torrent <file>', 'its .torrent; made from the image if left out')
    .option('--output <file>', 'where a .torrent that is made goes; IMAGE.torrent if left out')
    .option('--force', 'replace a .torrent that is there')
    .option('--length <bytes>', 'length of the image, where the device is larger')
    .option('--tracker <url...>', 'announce URL besides those of the torrent')
    .option('--json', 'a JSON object every 10 s and at the end')
    .example(
      'an image with its .torrent',
      'ironswarm seed --path debian.raw --torrent debian.torrent',
    )
    .example(
      'a disk that was written with it',
      'ironswarm seed --path /dev/sdX --torrent debian.torrent',
    )
    .example('make the .torrent too', `ironswarm seed --path debian.raw --tracker ${TRACKER}`)
  addWatch(program, add)
  const torrent = addGroup(program, 'torrent', 'make and show .torrent files')
  addTorrentCreate(torrent, add)
  add(
    torrent,
    'show',
    'print what a .torrent says',
    async () => (await import('../swarm/torrent.ts')).runTorrentShow,
  )
    .argument('[file]', 'the .torrent')
    .option('--torrent <file>', 'the .torrent, instead of the word')
    .option('--json', 'one JSON object')
    .example('what it says', 'ironswarm torrent show debian.torrent')
}

function addWatch(program: Verb, add: Add): void {
  const sort = new Option('--sort <column>', 'what rows are ordered by')
    .choices([...SORT_KEYS])
    .default('name')
  add(
    program,
    'watch',
    'show what many nodes do, in one table, until Ctrl-C',
    async () => (await import('../watch/watch.ts')).runWatch,
  )
    .argument('[urls...]')
    .usage('[options] [URL...]')
    .option('--ironic <url>', 'all nodes of this Ironic; OS_TOKEN, or OS_USERNAME and OS_PASSWORD')
    .option(
      '--insecure-agents',
      "do not verify the agents' certificates, which they make themselves",
    )
    .option('--interval <seconds>', 'between two questions to an agent', '2')
    .addOption(sort)
    .option('--filter <text>', 'only nodes whose name, state or URL has it')
    .option('--once', 'ask each agent once, print, end')
    .option('--json', 'one JSON object each time')
    .example('two agents', 'ironswarm watch http://192.0.2.11:9999 http://192.0.2.12:9999')
    .example(
      'all nodes of an Ironic',
      'ironswarm watch --ironic http://ironic:6385 --insecure-agents',
    )
    .example('for a script', 'ironswarm watch --ironic http://ironic:6385 --once --json')
    .note(
      'URL is an agent: http(s)://host:9999, or host alone. Keys: arrows, Enter (one node), s (sort), r (reverse),\n/ (filter), q. OS_AUTH_URL besides user and password: a token of Keystone; without it HTTP basic.',
    )
}

function addTorrentCreate(torrent: Verb, add: Add): void {
  add(
    torrent,
    'create',
    'make a .torrent of an image file',
    async () => (await import('../swarm/torrent.ts')).runTorrentCreate,
  )
    .needs('--path <path>', 'image file or device')
    .needs('--output <file>', 'the .torrent to write')
    .option('--zstd <file>', 'pack the raw image into this file, and make the .torrent of that')
    .option('--force', 'replace a file that is there')
    .option('--length <bytes>', 'length of the image, where the device is larger')
    .option(
      '--piece-length <bytes>',
      'a multiple of 16K, best a power of two, for example 4M; chosen by size if left out',
    )
    .option('--tracker <url...>', 'announce URL')
    .option('--web-seed <url...>', 'HTTP URL of the image')
    .option('--json', 'print the result as one JSON object')
    .example(
      'with a tracker, and the server that has the image anyway',
      `ironswarm torrent create --path debian.raw --output debian.torrent --tracker ${TRACKER} --web-seed http://host/debian.raw`,
    )
    .example(
      'packed: less to send, and each node unpacks',
      `ironswarm torrent create --path debian.raw --zstd debian.raw.zst --output debian.raw.zst.torrent --tracker ${TRACKER}`,
    )
}
