import { expect, test } from 'vitest'
import { programsOf } from '../../../image-build/ramdisk/contents.ts'
import { VARIANTS } from '../../../image-build/ramdisk/variants.ts'

test.each(Object.values(VARIANTS))(
  'ramdisk $name takes nothing that assembles arrays or joins paths at boot',
  (variant) => {
    const paths = Object.values(programsOf(variant)).flat()
    const assembling =
      /md-raid|mdadm.*rules|mdmon|multipathd?$|dmraid|lvm|pvscan|bcache|rules\.d\/$/
    expect(paths.filter((path) => assembling.test(path))).toEqual([])
  },
)
