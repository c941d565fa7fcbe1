import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../../../agent/core/errors.ts'
import {
  eraseAtaSecurely,
  parseAtaSecurity,
} from '../../../../../agent/hardware/generic/erase/ata.ts'
import type { Exec } from '../../../../../agent/system/exec.ts'
import { createRoot } from '../../../../../agent/system/root.ts'
import { createLogger } from '../../../../../agent/telemetry/logger.ts'

/** The end of `hdparm -I` as a WD disk and an SSD gave it; flags are put in by `hdparmOf`. */
const HEAD = `
/dev/sda:

ATA device, with non-removable media
	Model Number:       WDC WD10EZEX-08WN4A0
	Serial Number:      WD-WCC6Y0000000
Commands/features:
	Enabled	Supported:
	   *	SMART feature set
	    	Security Mode feature set
	   *	Power Management feature set
`
const TAIL = `Logical Unit WWN Device Identifier: 50014ee20c75fb3b
	NAA		: 5
	IEEE OUI	: 0014ee
	Unique ID	: 20c75fb3b
Checksum: correct
`

interface Drive {
  supported: boolean
  enabled: boolean
  locked: boolean
  frozen: boolean
  enhanced: boolean
}

const FRESH: Drive = {
  supported: true,
  enabled: false,
  locked: false,
  frozen: false,
  enhanced: true,
}

function hdparmOf(drive: Drive, minutes = 128): string {
  const flag = (name: string, isSet: boolean) => (isSet ? `\t\t${name}\n` : `\tnot\t${name}\n`)
  const section =
    `Security: \n\tMaster password revision code = 65534\n${flag('supported', drive.supported)}` +
    `${flag('enabled', drive.enabled)}${flag('locked', drive.locked)}${flag('frozen', drive.frozen)}` +
    `\tnot\texpired: security count\n${flag('supported: enhanced erase', drive.enhanced)}` +
    `${drive.enabled ? '\tSecurity level high\n' : ''}` +
    `\t${minutes}min for SECURITY ERASE UNIT. ${minutes}min for ENHANCED SECURITY ERASE UNIT. \n`
  return `${HEAD}${section}${TAIL}`
}

const PATH = '/dev/sdzz'
const SMARTCTL = 'ATA Security is:  Disabled, NOT FROZEN [SEC1]\n'

function obey(drive: Drive, flag: string, by: { isRight: boolean; staysEnabled: boolean }): void {
  if (flag === '--security-unlock' && by.isRight) drive.locked = false
  if (flag === '--security-set-pass') drive.enabled = true
  if (flag === '--security-disable') drive.enabled = false
  if (flag.startsWith('--security-erase')) drive.enabled = by.staysEnabled
}

/** A drive behind hdparm: its states change as ATA8-ACS says. */
function driveWith(
  drive: Drive,
  more: { smartctl?: string; fails?: string; password?: string; staysEnabled?: boolean } = {},
) {
  const ran: string[] = []
  const answer = (stdout: string) => ({ stdout, stderr: '', exitCode: 0 })
  const exec: Exec = async (argv) => {
    const line = argv.join(' ')
    ran.push(line)
    if (argv[0] === 'smartctl') return answer(more.smartctl ?? SMARTCTL)
    if (argv[1] === '-I') return answer(hdparmOf(drive))
    const [, , , flag = '', password] = argv
    if (flag === more.fails) throw new AgentError('ProcessError', 'hdparm: exit code 5')
    const isRight = password === (more.password ?? 'NULL')
    obey(drive, flag, { isRight, staysEnabled: more.staysEnabled === true })
    return answer('')
  }
  const options = {
    exec,
    root: createRoot('/nonexistent'),
    log: createLogger({ level: 'silent' }),
    signal: new AbortController().signal,
  }
  return { drive, ran, erase: () => eraseAtaSecurely(PATH, options) }
}

const hdparm = (flag: string, password = 'NULL') =>
  `hdparm --user-master u ${flag} ${password} ${PATH}`

describe('the Security section of hdparm -I', () => {
  test('is read flag by flag: the feature list above it has the same words', () => {
    expect(parseAtaSecurity(hdparmOf(FRESH))).toEqual({
      isSupported: true,
      isEnabled: false,
      isLocked: false,
      isFrozen: false,
      canEnhance: true,
      eraseMinutes: 128,
    })
  })

  test.each([
    ['enabled', 'isEnabled'],
    ['locked', 'isLocked'],
    ['frozen', 'isFrozen'],
  ] as const)('tells %s from not %s', (flag, field) => {
    expect(parseAtaSecurity(hdparmOf({ ...FRESH, [flag]: true }))[field]).toBe(true)
  })

  test('an enhanced erase that is not supported does not make the drive unsupported', () => {
    const security = parseAtaSecurity(hdparmOf({ ...FRESH, enhanced: false }))
    expect(security).toMatchObject({ isSupported: true, canEnhance: false })
  })

  test('is read where the drive gives no estimate, with spaces for tabs', () => {
    const text =
      'Security:\n    Master password revision code = 65534\n        supported\n    not    enabled\n'
    expect(parseAtaSecurity(text)).toMatchObject({ isSupported: true, eraseMinutes: 0 })
  })

  test('is not there on virtual disks', () => {
    expect(parseAtaSecurity(HEAD + TAIL)).toMatchObject({ isSupported: false, isEnabled: false })
  })
})

describe('a secure erase of an ATA drive', () => {
  test('sets the password, erases, and finds security off afterwards', async () => {
    const { ran, erase } = driveWith({ ...FRESH })
    expect(await erase()).toEqual({ how: 'ata enhanced secure erase', promisesZeros: false })
    expect(ran.slice(2)).toEqual([
      hdparm('--security-set-pass'),
      hdparm('--security-erase-enhanced'),
      `hdparm -I ${PATH}`,
    ])
  })

  test('is the plain one where the drive has no enhanced one', async () => {
    const { ran, erase } = driveWith({ ...FRESH, enhanced: false })
    expect(await erase()).toEqual({ how: 'ata secure erase', promisesZeros: true })
    expect(ran).toContain(hdparm('--security-erase'))
  })

  test('goes on where an earlier one was interrupted: unlocked, and no second password', async () => {
    const { ran, erase } = driveWith({ ...FRESH, enabled: true, locked: true })
    expect(await erase()).toEqual({ how: 'ata enhanced secure erase', promisesZeros: false })
    expect(ran).not.toContain(hdparm('--security-set-pass'))
  })

  test.each([
    ['a frozen drive', { ...FRESH, frozen: true }, {}, 'frozen'],
    ['an unknown password', { ...FRESH, enabled: true, locked: true }, { password: 'x' }, 'locked'],
    ['an erase that did nothing', { ...FRESH }, { staysEnabled: true }, 'still enabled'],
    ['a failing erase', { ...FRESH }, { fails: '--security-erase-enhanced' }, 'exit code 5'],
  ])('fails with %s', async (_case, drive, more, reason) => {
    const { erase } = driveWith(drive, more)
    await expect(erase()).rejects.toMatchObject({
      type: 'BlockDeviceEraseError',
      details: expect.stringContaining(reason),
    })
  })

  test('does not leave its password on a drive that would not erase', async () => {
    const { drive, erase } = driveWith({ ...FRESH }, { fails: '--security-erase-enhanced' })
    await expect(erase()).rejects.toThrow()
    expect(drive.enabled).toBe(false)
  })

  test.each([
    ['without the feature', { ...FRESH, supported: false, enhanced: false }, {}],
    [
      'that is none, as smartctl knows',
      { ...FRESH },
      { smartctl: 'ATA Security is:  Unavailable' },
    ],
  ])('is not tried on a drive %s', async (_case, drive, more) => {
    const { ran, erase } = driveWith(drive, more)
    expect(await erase()).toBeUndefined()
    expect(ran.filter((line) => line.includes('--security'))).toEqual([])
  })
})
