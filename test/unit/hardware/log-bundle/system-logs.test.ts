import { describe, expect, test } from 'vitest'
import { collectSystemLogs } from '../../../../agent/hardware/log-bundle/system-logs.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import { lsblkOutput, machineWith } from '../machine-fixture.ts'

const forever = new AbortController().signal

/** Text by name, and what was left out by its own. */
async function collect(files: Record<string, string>, answers: Record<string, string>) {
  await using machine = await machineWith(files, answers)
  const all = await collectSystemLogs(machine, forever)
  const { left_out: leftOut = '', ...members } = Object.fromEntries(
    all.map(({ name, content }) => [name, String(content)]),
  )
  return { members: members as Record<string, string>, leftOut: leftOut.split('\n') }
}

async function membersOf(files: Record<string, string>, answers: Record<string, string>) {
  return (await collect(files, answers)).members
}

describe('the logs of the machine', () => {
  test('hold the output of each command by its name, and udev of each device', async () => {
    const members = await membersOf(
      { '/proc/mdstat': 'Personalities :\n' },
      {
        df: 'Filesystem',
        dmesg: 'Linux version',
        'efibootmgr -v': 'BootCurrent',
        'iptables -L -n': 'Chain INPUT',
        'ip addr': '1: lo',
        'lsblk -bia --output=KNAME': 'KNAME',
        'lsblk -bia --output-all': 'ALL',
        'lshw -quiet -json': '{}',
        mount: 'proc on /proc',
        'multipath -ll': '',
        'parted --script --list': 'Model',
        'ps au': 'USER',
        'lsblk --bytes': lsblkOutput([{ kname: 'sda' }, { kname: 'loop9', size: 0 }]),
        'udevadm info': 'ID_SERIAL=x\n',
      },
    )
    expect(Object.keys(members)).toEqual([
      'df',
      'dmesg',
      'efibootmgr',
      'ip_addr',
      'iptables',
      'lsblk',
      'lsblk-full',
      'lshw',
      'mdstat',
      'mount',
      'multipath',
      'parted',
      'ps',
      'udev/sda',
    ])
    expect(members['dmesg']).toBe('Linux version')
    expect(members['udev/sda']).toBe('{\n "ID_SERIAL": "x"\n}')
  })

  test('leave out commands that fail, and say which and why', async () => {
    const { members, leftOut } = await collect({ '/var/log/wtmp': '' }, { df: 'ok', tail: 'a\0' })
    expect(Object.keys(members)).toEqual(['df'])
    expect(leftOut).toContain('iptables: iptables: command not found')
    expect(leftOut).toContain('mdstat: /proc/mdstat is not there')
    expect(leftOut).toContain('var/log/wtmp: is not text')
    expect(leftOut.some((line) => line.startsWith('df:'))).toBe(false)
  })

  test('are the journal of this boot under systemd, and not /var/log', async () => {
    const files = { '/run/systemd/system/x': '', '/var/log/syslog': 'a' }
    const answers = { 'journalctl --full --no-pager -b': 'journal lines', tail: 'a' }
    expect(await membersOf(files, answers)).toEqual({ journal: 'journal lines' })
  })

  test('are the text files below /var/log without systemd', async () => {
    const files = {
      '/var/log/syslog': 'a',
      '/var/log/apt/history.log': 'b',
      '/var/log/old.gz': 'c',
    }
    expect(await membersOf(files, { tail: 'newest lines' })).toEqual({
      'var/log/apt/history.log': 'newest lines',
      'var/log/syslog': 'newest lines',
    })
    expect(await membersOf({ '/var/log/wtmp': 'x' }, { tail: 'bin\0ary' })).toEqual({})
  })

  test('carry no secrets', async () => {
    const members = await membersOf(
      { '/var/log/syslog': '' },
      {
        dmesg: 'Command line: ipa-agent-token=SECRET quiet',
        'ps au': 'curl http://user:SECRET@host/image?temp_url_sig=SECRET',
        tail: '"GET /v1/commands?agent_token=SECRET"',
      },
    )
    expect(Object.keys(members)).toEqual(['dmesg', 'ps', 'var/log/syslog'])
    expect(JSON.stringify(members)).not.toContain('SECRET')
  })

  test('are what there is when time is up, though a command hangs for ever', async () => {
    await using machine = await machineWith({}, { df: 'Filesystem', mount: 'proc on /proc' })
    const expiry = new AbortController()
    const exec: Exec = async (argv) => {
      if (argv[0] === 'dmesg') return await new Promise<never>(() => undefined)
      // the last of the commands: all before it have been asked
      if (argv[0] === 'ps') expiry.abort()
      return await machine.exec(argv)
    }
    const members = await collectSystemLogs({ ...machine, exec }, expiry.signal)
    expect(members.map(({ name }) => name)).toEqual(['df', 'mount', 'left_out'])
    expect(members.at(-1)?.content).toContain('dmesg: not collected before time was up\n')
  })
})
