import { readFile, stat } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { ASSEMBLY_PAUSE } from '../../../agent/disk/md/assembly-pause.ts'
import { librariesOf, programsOf } from '../../../image-build/ramdisk/contents.ts'
import { VARIANTS } from '../../../image-build/ramdisk/variants.ts'

const OWN_FILES = 'image-build/ramdisk/root'

describe.each(Object.values(VARIANTS))('ramdisk $name', (variant) => {
  const paths = Object.values(programsOf(variant)).flat()

  test('takes nothing that writes to members of firmware RAID, makes partitions of maps or starts volumes', () => {
    const joining = /mdmon|kpartx|dmraid|lvm|pvscan|bcache|rules\.d\/$/
    expect(paths.filter((path) => joining.test(path))).toEqual([])
  })

  test('starts arrays of md when their members appear, and writes to none before somebody else does', async () => {
    const rules = ['63-md-raid-arrays', '64-md-raid-assembly']
    expect(paths).toEqual(
      expect.arrayContaining(rules.map((name) => `usr/lib/udev/rules.d/${name}.rules`)),
    )
    expect(variant.modules).toEqual(expect.arrayContaining(['raid0', 'raid1', 'raid10', 'raid456']))
    // mdadm.conf(5): what no word before `-all` names is not started
    expect(await settingsOf('mdadm/mdadm.conf')).toContain('AUTO +0.90 +1.x -all')
    expect(await settingsOf('modprobe.d/md.conf')).toEqual(['options md_mod start_ro=1'])
  })

  test('joins the paths of a LUN, and nothing that may make its identifier up', async () => {
    expect(paths).toEqual(expect.arrayContaining(['usr/sbin/multipathd', 'usr/sbin/dmsetup']))
    expect(variant.modules).toEqual(expect.arrayContaining(['dm_multipath', 'scsi_dh_alua']))
    const settings = (await settingsOf('multipath.conf')).map((line) => line.trim())
    const wanted = ['find_multipaths yes', 'skip_kpartx yes', 'no_path_retry fail']
    expect(settings).toEqual(expect.arrayContaining(wanted))
    expect(settings).toContain('protocol "scsi:(usb|ata|sbp|spi)"')
  })

  test('has the programs of Nvidia NICs where they are asked for, and only there', () => {
    const nvidia = ['usr/bin/mstconfig', 'usr/bin/mstflint']
    const asked = Object.values(programsOf({ ...variant, hasMstflint: true })).flat()
    expect(asked.filter((path) => !paths.includes(path))).toEqual(nvidia)
    // which no program names, but a library of theirs
    expect(librariesOf({ ...variant, hasMstflint: true })).toContain('libgomp1')
  })

  test('starts the kernel that the agent has loaded when init is to end the machine', async () => {
    expect(paths).toContain('usr/sbin/kexec')
    const [, script = ''] =
      (await settingsOf('inittab')).map((line) => /^::shutdown:(.*)/.exec(line)).find(Boolean) ?? []
    expect((await stat(`${OWN_FILES}${script}`)).mode & 0o111).toBe(0o111)
    const text = await readFile(`${OWN_FILES}${script}`, 'utf8')
    // a power-off runs it too
    expect(text.split('kexec --exec')[0]).toContain(
      '[ -e /run/ironswarm/start-instance ] || exit 0',
    )
    expect(text).toContain('kexec --exec')
  })

  test('starts none while the agent makes or deletes some', async () => {
    const rules = `${OWN_FILES}/usr/lib/udev/rules.d/61-ironswarm-raid.rules`
    expect(await readFile(rules, 'utf8')).toContain(`TEST=="${ASSEMBLY_PAUSE}", ENV{ANACONDA}="1"`)
  })
})

/** The lines of a file of the ramdisk's own /etc that are no comments. */
async function settingsOf(name: string): Promise<string[]> {
  const text = await readFile(`${OWN_FILES}/etc/${name}`, 'utf8')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}
