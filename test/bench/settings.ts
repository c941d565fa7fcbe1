// SPDX-License-Identifier: Apache-2.0
// Owns what a benchmark is told by `make NAME=value`, which hands on what it was not told as empty.

export function setting(name: string): string | undefined {
  return process.env[name] || undefined
}

/** A number that is not negative; ends the process with 2 for anything else. */
export function numberSetting(name: string, usual: number): number {
  return numberOf(name, setting(name) ?? String(usual))
}

/** Numbers of nodes, `1,2,4`; ends the process with 2 for anything else, zero too. */
export function countsSetting(name: string, usual: string): number[] {
  return (setting(name) ?? usual).split(',').map((word) => {
    const count = numberOf(name, word)
    return Number.isInteger(count) && count > 0 ? count : refuse(name, word)
  })
}

function numberOf(name: string, word: string): number {
  const value = Number(word)
  return word.trim() !== '' && Number.isFinite(value) && value >= 0 ? value : refuse(name, word)
}

function refuse(name: string, word: string): never {
  console.error(`${name}=${word}: give a number, for example ${name}=8`)
  process.exit(2)
}
