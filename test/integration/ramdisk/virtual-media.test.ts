// The ramdisk's script by the ramdisk's shell, in a root whose clock goes on when the script sleeps.
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { hasPackages } from '../../support/packages.ts'

const SCRIPTS = join(import.meta.dirname, '../../../image-build/ramdisk/root/usr/lib/ironswarm')
const canRun = process.getuid?.() === 0 && hasPackages('boot-loaders')

/** Half a second each, whatever is asked for; the medium comes when it is time. */
const SLEEP = `#!/bin/sh
n=$(cat /slept); n=$((n + 1)); echo $n >/slept
echo $((n / 2)).00 0.00 >/proc/uptime
[ $n = "$(cat /comes-at)" ] && mknod /dev/sr0 b 7 250
exit 0
`
const PROGRAMS = {
  'usr/sbin/sleep': SLEEP,
  'usr/sbin/udevadm': '#!/bin/sh\necho "$*" >>/asked\n',
  'usr/sbin/blkid': '#!/bin/sh\ncase $* in *LABEL*) echo config-2 ;; *) cat /publisher ;; esac\n',
  'usr/sbin/lsblk': '#!/bin/sh\necho rom\n',
}

/** @param comesAt half seconds after the start; @returns seconds waited, what udev was asked, what was said */
async function look(cmdline: string, comesAt: number | 'never', publisher = 'here') {
  await using root = await createBusyboxRoot({
    'proc/cmdline': `boot_method=vmedia ${cmdline}\n`,
    'proc/uptime': '0.00 0.00\n',
    'proc/mounts': '',
    'comes-at': `${comesAt}\n`,
    slept: '0\n',
    asked: '',
    publisher: `${publisher}\n`,
    'dev/kmsg': '',
    ...PROGRAMS,
    'usr/bin/mount': '#!/bin/sh\nmkdir -p "$4/etc/ironic-python-agent"\n',
  })
  for (const name of ['common', 'virtual-media']) {
    const text = (await readFile(join(SCRIPTS, name), 'utf8')).replace(
      'PATH=/usr/sbin:/usr/bin',
      'PATH=/usr/sbin:/usr/bin:/bin',
    )
    await root.put(`usr/lib/ironswarm/${name}`, text)
  }
  if (comesAt === 0) spawnSync('mknod', [join(root.folder, 'dev/sr0'), 'b', '7', '250'])
  spawnSync('chroot', [root.folder, '/usr/lib/ironswarm/virtual-media'])
  const read = (name: string) => readFile(join(root.folder, name), 'utf8')
  return {
    waited: Number(await read('slept')) / 2,
    asked: await read('asked'),
    said: await read('dev/kmsg'),
  }
}

describe.skipIf(!canRun)('the medium of this boot', () => {
  test('is read at once where it is there, before udev is through with all devices', async () => {
    const { waited, asked, said } = await look('ir_pub_id=HERE', 0)
    expect([waited, asked]).toEqual([0, ''])
    expect(said).toContain('virtual media: /dev/sr0')
  })

  test('is waited for as long as it may come late', async () => {
    const { waited, said } = await look('ir_pub_id=here', 9)
    expect(waited).toBe(4.5)
    expect(said).toContain('virtual media: /dev/sr0')
  })

  test('that does not come costs 30 s in all', async () => {
    const { waited, said } = await look('ir_pub_id=here', 'never')
    expect([waited, said]).toEqual([30, ''])
  })

  test('of another publisher is read after that time, for its files alone', async () => {
    const { waited, said } = await look('ir_pub_id=here', 0, 'another')
    expect(waited).toBe(30)
    expect(said).toContain('virtual media: /dev/sr0')
  })

  test('is not waited for where its publisher is not known and no more devices come', async () => {
    const { waited, asked } = await look('', 'never')
    expect([waited, asked]).toEqual([0, 'settle --timeout=0\n'])
  })
})
