import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isObject } from '../../../../agent/core/json.ts'
import { unknownFields } from '../../../../agent/image/request/known-fields.ts'

test.each([
  ['os_hash_algorithm', 'os_hash_algo'],
  ['sha256', null],
  ['url', 'urls'],
  ['Disk-Format', 'disk_format'],
  ['node_uid', 'node_uuid'],
])('%s is none of image_info; probably %s was meant', (name, meant) => {
  expect(unknownFields({ id: 'x', urls: [], [name]: 1 })).toEqual([{ name, meant }])
})

test('every field that a real conductor has sent is known', () => {
  const folder = 'test/fixtures/traces'
  const found = new Set<string>()
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look)
    if (!isObject(value)) return
    if (isObject(value['image_info']))
      for (const key of Object.keys(value['image_info'])) found.add(key)
    Object.values(value).forEach(look)
  }
  for (const name of readdirSync(folder)) {
    for (const text of readFileSync(`${folder}/${name}`, 'utf8').trim().split('\n')) {
      look(JSON.parse(text))
    }
  }
  expect(found.size).toBeGreaterThan(15)
  expect(unknownFields(Object.fromEntries([...found].map((name) => [name, null])))).toEqual([])
})

test('any name can be asked for, however long', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (name) => {
      const [field] = unknownFields({ [name]: 1 })
      expect(field === undefined || field.name === name).toBe(true)
    }),
  )
})
