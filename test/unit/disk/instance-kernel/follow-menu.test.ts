import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BootEntry } from '../../../../agent/disk/instance-kernel/boot-entry.ts'
import { followMenu } from '../../../../agent/disk/instance-kernel/grub-menu/follow-menu.ts'
import { type MemoryPartition, memoryDisk } from '../../../support/instance-kernel/memory-disk.ts'
import {
  BOOT_UUID,
  DEBIAN_MENU,
  espMenu,
  grubenv,
  MACHINE_ID,
  RHEL_MENU,
  ROOT_UUID,
  rhelEntry,
  SUSE_MENU,
  UBUNTU_MENU,
} from '../../../support/instance-kernel/menus.ts'

/** Follows the menu at `path` of the last partition. */
function follow(partitions: readonly MemoryPartition[], path: string): Promise<BootEntry> {
  const disk = memoryDisk(...partitions)
  return followMenu({ partition: partitions.length, path }, disk, 'bios')
}

/** A disk of one partition with this menu. */
const menu = (text: string, files: Readonly<Record<string, string>> = {}) =>
  follow(
    [{ uuid: ROOT_UUID, files: { '/boot/grub/grub.cfg': text, ...files } }],
    '/boot/grub/grub.cfg',
  )

describe('the menu of Debian', () => {
  test('starts its first entry where nothing was saved', async () => {
    expect(await menu(DEBIAN_MENU)).toEqual({
      title: 'Debian GNU/Linux',
      kernel: { partition: 1, path: '/boot/vmlinuz-6.1.0-28-amd64' },
      initrds: [{ partition: 1, path: '/boot/initrd.img-6.1.0-28-amd64' }],
      commandLine: `BOOT_IMAGE=/boot/vmlinuz-6.1.0-28-amd64 root=UUID=${ROOT_UUID} ro console=ttyS0,115200`,
    })
  })

  test.each([
    [
      'id of an entry in a submenu',
      `gnulinux-advanced-${ROOT_UUID}>gnulinux-6.1.0-9-amd64-advanced-${ROOT_UUID}`,
    ],
    ['numbers', '1>2'],
    ['titles', 'Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-9-amd64'],
  ])('starts what was saved by %s', async (_, saved) => {
    const entry = await menu(DEBIAN_MENU, {
      '/boot/grub/grubenv': grubenv({ saved_entry: saved }),
    })
    expect(entry.kernel.path).toBe('/boot/vmlinuz-6.1.0-9-amd64')
  })

  test.each(['7', 'gone', '1>99>3'])(
    'starts a first entry where "%s" names none',
    async (saved) => {
      const entry = await menu(DEBIAN_MENU, {
        '/boot/grub/grubenv': grubenv({ saved_entry: saved }),
      })
      expect(entry.kernel.path).toBe('/boot/vmlinuz-6.1.0-28-amd64')
    },
  )

  test('takes up custom.cfg', async () => {
    const custom = 'set default=own\nmenuentry Own --id own { linux /mine a\\ b \'c d\' x"$root"y }'
    const entry = await menu(DEBIAN_MENU, { '/boot/grub/custom.cfg': custom })
    expect(entry.commandLine).toBe('BOOT_IMAGE=/mine "a b" "c d" xhd0,gpt1y')
  })
})

test('the menu of Ubuntu starts an entry whose kernel stands behind a condition', async () => {
  const boot = {
    uuid: BOOT_UUID,
    files: { '/grub/grub.cfg': UBUNTU_MENU, '/grub/gfxblacklist.txt': '' },
  }
  expect(await follow([{ uuid: ROOT_UUID }, boot], '/grub/grub.cfg')).toMatchObject({
    kernel: { partition: 2, path: '/vmlinuz-6.8.0-49-generic' },
    initrds: [{ partition: 2, path: '/initrd.img-6.8.0-49-generic' }],
    commandLine:
      'BOOT_IMAGE=/vmlinuz-6.8.0-49-generic root=LABEL=cloudimg-rootfs ro console=tty1 console=ttyS0 vt.handoff=7',
  })
})

describe('the menu of RHEL', () => {
  const disk = (variables: Readonly<Record<string, string>>, old = '$kernelopts') => [
    { uuid: ROOT_UUID },
    {
      uuid: BOOT_UUID,
      files: {
        '/grub2/grub.cfg': RHEL_MENU,
        '/grub2/grubenv': grubenv(variables),
        [`/loader/entries/${MACHINE_ID}-0-rescue.conf`]: rhelEntry('0-rescue'),
        [`/loader/entries/${MACHINE_ID}-5.14.0-70.el9.x86_64.conf`]: rhelEntry(
          '5.14.0-70.el9.x86_64',
          old,
        ),
        [`/loader/entries/${MACHINE_ID}-5.14.0-362.8.1.el9_3.x86_64.conf`]: rhelEntry(
          '5.14.0-362.8.1.el9_3.x86_64',
        ),
      },
    },
  ]

  test('starts the newest kernel where nothing was saved', async () => {
    expect(await follow(disk({}), '/grub2/grub.cfg')).toEqual({
      title: 'Red Hat (5.14.0-362.8.1.el9_3.x86_64)',
      kernel: { partition: 2, path: '/vmlinuz-5.14.0-362.8.1.el9_3.x86_64' },
      initrds: [{ partition: 2, path: '/initramfs-5.14.0-362.8.1.el9_3.x86_64.img' }],
      commandLine: `BOOT_IMAGE=/vmlinuz-5.14.0-362.8.1.el9_3.x86_64 root=UUID=${ROOT_UUID} ro fallback`,
    })
  })

  test('starts what was saved, with the options that grubenv has', async () => {
    const saved = `${MACHINE_ID}-5.14.0-70.el9.x86_64`
    const variables = {
      saved_entry: saved,
      kernelopts: 'root=/dev/mapper/rhel-root ro',
      tuned_initrd: '/tuned.img',
    }
    expect(await follow(disk(variables), '/grub2/grub.cfg')).toMatchObject({
      kernel: { path: '/vmlinuz-5.14.0-70.el9.x86_64' },
      initrds: [{ path: '/initramfs-5.14.0-70.el9.x86_64.img' }, { path: '/tuned.img' }],
      commandLine: 'BOOT_IMAGE=/vmlinuz-5.14.0-70.el9.x86_64 root=/dev/mapper/rhel-root ro',
    })
  })

  test.each([
    ['options', '$k'.repeat(20_000), '/i'],
    ['initrds', 'quiet', '$k'.repeat(20_000)],
  ])('is refused where variables make the %s of an entry grow', async (_, options, initrd) => {
    const entry = `linux /v\ninitrd ${initrd}\noptions ${options}\n`
    const files = {
      '/grub2/grub.cfg': `set k=${'x'.repeat(4000)}\nblscfg\n`,
      '/loader/entries/a.conf': entry,
    }
    await expect(follow([{ uuid: ROOT_UUID, files }], '/grub2/grub.cfg')).rejects.toThrow(
      /line 2: the values of a command are too long/,
    )
  })

  test('keeps quotes of the options as they are', async () => {
    const saved = { saved_entry: `${MACHINE_ID}-5.14.0-70.el9.x86_64` }
    const [, boot] = disk(saved, `root=LABEL="my root" ro; \`id\` \${kernelopts}`)
    const entry = await follow([{}, boot ?? {}], '/grub2/grub.cfg')
    expect(entry.commandLine).toContain(
      `root=LABEL="my root" ro; \`id\` root=UUID=${ROOT_UUID} ro fallback`,
    )
  })
})

test('the menu of SUSE starts a kernel of the default subvolume', async () => {
  const files = { '/boot/grub2/grub.cfg': SUSE_MENU }
  const entry = await follow([{ uuid: ROOT_UUID, type: 'btrfs', files }], '/boot/grub2/grub.cfg')
  expect(entry).toMatchObject({
    kernel: { partition: 1, path: '/boot/vmlinuz-6.4.0-150600.21-default' },
    initrds: [{ partition: 1, path: '/boot/initrd-6.4.0-150600.21-default' }],
    commandLine: `BOOT_IMAGE=/boot/vmlinuz-6.4.0-150600.21-default root=UUID=${ROOT_UUID} console=ttyS0,115200 security=apparmor mitigations=auto`,
  })
})

test('a menu on the ESP leads to the one that counts', async () => {
  const root = { uuid: ROOT_UUID, files: { '/boot/grub/grub.cfg': DEBIAN_MENU } }
  const esp = { files: { '/EFI/debian/grub.cfg': espMenu(ROOT_UUID, '/boot/grub') } }
  const entry = await follow([root, esp], '/EFI/debian/grub.cfg')
  expect(entry.kernel).toEqual({ partition: 1, path: '/boot/vmlinuz-6.1.0-28-amd64' })
})

test('a search goes by what is searched for, not by its hints', async () => {
  const text = `search --hint hd0,gpt1 --hint='hd1' --no-floppy --set root --fs-uuid ${BOOT_UUID}\nlinux /k\nboot`
  const entry = await follow([{ uuid: BOOT_UUID }, { files: { '/grub.cfg': text } }], '/grub.cfg')
  expect(entry.kernel).toEqual({ partition: 1, path: '/k' })
})

test('a menu without entries that boots by itself is followed', async () => {
  const text = 'set timeout=0\nlinux /vmlinuz root=UUID=x quiet\ninitrd /a /b\nboot\n'
  expect(await menu(text)).toEqual({
    title: '',
    kernel: { partition: 1, path: '/vmlinuz' },
    initrds: [
      { partition: 1, path: '/a' },
      { partition: 1, path: '/b' },
    ],
    commandLine: 'BOOT_IMAGE=/vmlinuz root=UUID=x quiet',
  })
})

describe('what is not understood is refused, with the line', () => {
  const bomb = `${Array.from({ length: 40 }, () => 'set a="$a$a$a$a"').join('\n')}\n`
  test.each([
    ['a loop', 'for x in a b; do\n echo $x\ndone', /line 1: "for" is not followed/],
    ['a loop without an end', 'function f { f; }\nf', /line 1: functions call each other/],
    ['menus that lead to each other', 'configfile $prefix/grub.cfg', /leads on and on/],
    [
      'files that are read again and again',
      'source $prefix/grub.cfg\n'.repeat(9),
      /functions call each/,
    ],
    ['questions without end', `function f {\n${'[ -f /a ]\n'.repeat(2100)}}\nf`, /asks too much/],
    ['commands without end', `function f {\n${'true\n'.repeat(4100)}}\nf`, /does not end/],
    ['values that grow', `set a=0123456789\n${bomb}`, /line \d+: the values of a command/],
    ['blocks in blocks', 'if true; then '.repeat(50), /line 1: blocks lie too deep/],
    ['an open quote', 'set a="b\n\n', /line 1: a quote is not closed/],
    ['an open single quote', "set a='b", /line 1: "'" has no meaning here/],
    ['a redirection', 'echo a > /b', /line 1: ">" has no meaning here/],
    ['if without fi', 'if true; then\necho', /line \d: "fi" is missing/],
    ['if without then', 'if true\nfi', /line \d: "then" is missing/],
    ['a bracket too many', 'set a=b\n}', /line 2: "}" without its/],
    ['a bracket too few', 'menuentry a {', /line 1: "}" is missing/],
    ['an unknown command', '\nmagic', /line 2: the command "magic" is not followed/],
    ['a chain loader', 'menuentry w {\nchainloader /bootmgr\n}', /line 2: .*chainloader/],
    ['another kernel', 'menuentry x {\nmultiboot2 /xen.gz\n}', /line 2: .*multiboot2/],
    [
      'the firmware',
      'menuentry f {\nfwsetup\n}',
      /line 2: the entry leads to the menu of the firm/,
    ],
    ['a device tree', 'menuentry d {\ndevicetree /a.dtb\n}', /line 2: .*devicetree/],
    ['an unknown condition', 'if [ a -ef b ]; then true; fi', /line 1: in a condition/],
    ['another disk', 'linux (hd1)/vmlinuz\nboot', /"\(hd1\)\/vmlinuz" is not on this disk/],
    ['a partition of another disk', 'linux (hd1,gpt1)/k\nboot', /"\(hd1,gpt1\)\/k" is not on/],
    ['a path without a slash', 'linux vmlinuz\nboot', /"vmlinuz" is not on this disk/],
    ['an initrd alone', 'initrd /a', /line 1: an initrd before the kernel/],
    ['an early microcode by name', 'linux /a\ninitrd newc:x:/b\nboot', /is not on this disk/],
    ['nothing', '', /the menu starts nothing/],
    ['an entry with nothing in it', 'menuentry a { true }', /starts nothing/],
    ['a word of JavaScript', 'constructor', /the command "constructor" is not followed/],
    [
      'a partition that is not there',
      'search --label no --set=root\nlinux (hd0,gpt9)/a\nboot',
      undefined,
    ],
  ])('%s', async (_, text, reason) => {
    const followed = menu(text)
    if (reason) await expect(followed).rejects.toMatchObject({ type: 'InvalidImage' })
    if (reason) await expect(followed).rejects.toThrow(reason)
    // whether it can be read is the next question
    else expect((await followed).kernel).toEqual({ partition: 9, path: '/a' })
  })
})

/** Pieces of the language in any order: it ends, and says InvalidImage or an entry. */
const PIECES = [
  ...[
    'if ',
    'then ',
    'fi ',
    'else ',
    'elif ',
    'function f ',
    'f ',
    '{ ',
    '} ',
    '; ',
    '\n',
    '"',
    "'",
    '\\',
  ],
  ...[
    '$a',
    `\${a}`,
    '$',
    '#',
    '[ ',
    '] ',
    '-z ',
    '= ',
    '! ',
    '-o ',
    '-f ',
    'set a=',
    'menuentry a ',
  ],
  ...[
    'submenu b ',
    'linux /k ',
    'initrd /i ',
    'boot ',
    'configfile ',
    'source ',
    '$prefix/grub.cfg ',
  ],
  ...['search --set=root ', 'load_env ', 'blscfg ', 'return ', 'true ', '>', '|', '(hd0,gpt1)'],
]

test('whatever a menu says, following it ends with an entry or with InvalidImage', async () => {
  const text = fc.oneof(
    fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary', maxLength: 200 }),
  )
  await fc.assert(
    fc.asyncProperty(text, async (each) => {
      const outcome = await menu(each).catch((error: unknown) => error)
      if (outcome instanceof Error) expect(outcome).toMatchObject({ type: 'InvalidImage' })
      else expect(outcome).toHaveProperty('kernel')
    }),
    { numRuns: 1000 },
  )
})
