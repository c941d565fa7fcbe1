// SPDX-License-Identifier: Apache-2.0
// Owns the four functions of the Reflect metadata proposal that tsyringe (under @peculiar/x509) asks for
// when it is loaded and that Node lacks. To be imported before it. Does nothing where they exist.

type Metadata = Map<object, Map<unknown, unknown>>

interface MetadataReflect {
  getMetadata?(key: unknown, target: object): unknown
  getOwnMetadata?(key: unknown, target: object): unknown
  defineMetadata?(key: unknown, value: unknown, target: object): void
  metadata?(key: unknown, value: unknown): (target: object) => void
}

/** Only classes of that library are targets; they live as long as the process. */
function install(reflect: MetadataReflect, store: Metadata): void {
  const own = (key: unknown, target: object) => store.get(target)?.get(key)
  const define = (key: unknown, value: unknown, target: object) => {
    const entries = store.get(target) ?? new Map<unknown, unknown>()
    store.set(target, entries.set(key, value))
  }
  reflect.getOwnMetadata = own
  reflect.defineMetadata = define
  reflect.metadata = (key, value) => (target) => define(key, value, target)
  reflect.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at)) {
      if (store.get(at)?.has(key)) return own(key, at)
    }
    return undefined
  }
}

const reflect = Reflect as MetadataReflect
if (reflect.getMetadata === undefined) install(reflect, new Map())
